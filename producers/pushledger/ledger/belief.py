"""What the ledger believes that the API shows of one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from pushledger.message import State
from pushledger.targets import Kind

__all__ = ["Belief", "Repairable", "belief_of_entry", "belief_of_record"]


Repairable: TypeAlias = Literal["differs", "gone"]


@dataclass(frozen=True, slots=True)
class Belief:
    """One message at one moment. ``message_id`` is '' while none is known, ``shown_digest`` while the text is not."""

    state: State
    kind: Kind
    revision: int
    message_id: str
    shown_digest: str
    keeps_text: bool
    keeps_target: bool


def belief_of_record(record: Mapping[str, str]) -> Belief:
    """Read it from a message's hash."""
    return Belief(
        state=cast(State, record["state"]),
        kind=cast(Kind, record.get("kind") or "pushed"),
        revision=int(record["revision"]),
        message_id=record.get("message_id", ""),
        shown_digest=record.get("shown_digest", ""),
        keeps_text=bool(record.get("text")),
        keeps_target=bool(record.get("target")),
    )


def belief_of_entry(entry: str) -> Belief:
    """Read it from an entry of the map."""
    _, kind, revision, _, _, shown, message_id = entry.split(" ", 6)
    return Belief("delivered", cast(Kind, kind), int(revision), message_id, "" if shown == "-" else shown, False, False)

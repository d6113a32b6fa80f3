"""From what the ledger holds to the one call that closes the gap. Pure.

``lua/message.lua`` (Message.gap) notes the same decision at the claim, atomically; a test walks every reachable
record and finds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pushledger.jobs import Kind
from pushledger.ledger import Claimed

__all__ = ["Call", "Edit", "Ping", "Probe", "Remove", "Send", "plan"]


@dataclass(frozen=True, slots=True)
class Send:
    """Create a message (POST); ``target`` is the JSON of its visitor, agent and group."""

    kind: Kind
    target: str
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Change a message's text (PUT)."""

    kind: Kind
    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a message away (DELETE)."""

    kind: Kind
    message_id: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Read a message (GET), only to see whether the API is up: 404 says so as well as 200."""

    kind: Kind
    message_id: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Keep an agent online for some minutes (POST agentOnlinePing); ``agent`` is the JSON of the API's fields."""

    agent: str


Call: TypeAlias = Send | Edit | Remove | Probe | Ping


def plan(claimed: Claimed) -> Call | None:
    """The next call for a message, or None when wish and remote agree.

    Copies that must not be there go first: a former life's message, or one that a late answer revealed.
    """
    match claimed:
        case Claimed(wish="probe"):
            return Probe(claimed.kind, claimed.message_id)
        case Claimed(wish="ping"):
            return Ping(claimed.target)
        case Claimed(doomed=[(kind, message_id), *_]):
            return Remove(kind, message_id)
        case Claimed(wish="gone", message_id=""):
            return None
        case Claimed(wish="gone"):
            return Remove(claimed.kind, claimed.message_id)
        case Claimed(message_id=""):
            return Send(claimed.kind, claimed.target, claimed.text)
        case Claimed(text_digest=wished, shown_digest=shown) if wished == shown:
            return None
        case _:
            return Edit(claimed.kind, claimed.message_id, claimed.text)

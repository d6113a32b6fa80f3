"""What the people on duty are told: that something is held or failed, that the account pauses, that it falls behind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast

__all__ = ["Signal", "SignalKind", "read_signal"]

SignalKind: TypeAlias = Literal["held", "failed", "paused", "resumed", "overdue", "caught_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One thing to be told. It holds ids and reasons, never a text, a visitor or a key.

    ``id`` is the same when a signal is told twice, as may happen when a worker dies. ``reason`` is why the message
    rests or the account pauses (paused; resumed: of the pause that ended). ``until`` is the end of a pause, and
    ``since`` when the oldest due message came due (overdue; caught_up: the one that was told of).
    """

    id: str
    account: str
    kind: SignalKind
    at: datetime
    local_id: str | None = None
    reason: str | None = None
    until: datetime | None = None
    since: datetime | None = None

    def to_json(self) -> dict[str, str]:
        """As a JSON object; what does not apply is left out."""
        values: dict[str, str | datetime | None] = {
            "id": self.id,
            "account": self.account,
            "kind": self.kind,
            "at": self.at,
            "local_id": self.local_id,
            "reason": self.reason,
            "until": self.until,
            "since": self.since,
        }
        return {name: _written(value) for name, value in values.items() if value is not None}

    def sentence(self) -> str:
        """What happened, in words, after the name of the account."""
        return f"{self.account}: {self._event()}"

    def _event(self) -> str:
        match self.kind:
            case "held" | "failed":
                return f"{self.local_id} is {self.kind}: {self.reason}"
            case "paused":
                return f"the account is paused: {self.reason}"
            case "resumed":
                return f"the account goes on after its pause: {self.reason}"
            case "overdue":
                return f"the oldest message has been due since {self.since}"
            case "caught_up":
                return "no message has been due for long any more"


def read_signal(account: str, line: str) -> Signal:
    """Read one line of an account's ledger: milliseconds, kind, detail."""
    at, kind, detail = line.split(" ", 2)
    first, _, rest = detail.partition(" ")
    is_message, is_pause = kind in ("held", "failed"), kind == "paused"
    return Signal(
        id=hashlib.blake2b(f"{account} {line}".encode(), digest_size=12).hexdigest(),
        account=account,
        kind=cast(SignalKind, kind),
        at=_moment(at),
        local_id=rest if is_message else None,
        reason=first if is_message else rest if is_pause else detail if kind == "resumed" else None,
        until=_moment(first) if is_pause else None,
        since=_moment(first) if kind in ("overdue", "caught_up") else None,
    )


def _written(value: str | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else value


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)

"""How an account stands, as the command line tells it: as lines, as one line, as a JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pushledger.ledger import Account, Budget, Pause
from pushledger.messages import Messages
from pushledger.output import cell

__all__ = ["Status", "pause_document", "read_status"]


@dataclass(frozen=True, slots=True)
class Status:
    """An account at one moment: ``counts`` of messages by state, ``counters`` since its first day."""

    name: str
    account: Account
    counts: Mapping[str, int]
    counters: Mapping[str, int]

    def lines(self) -> list[str]:
        """All of it, for people."""
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items())
        pairs = [*self._pairs(), ("messages", counts)]
        counters = [f"  {cell(counter)} {number}" for counter, number in sorted(self.counters.items())]
        return [*(f"{title + ':':<15}{value}" for title, value in pairs), *counters]

    def line(self) -> str:
        """What moves, in one line."""
        account = self.account
        parts = [
            ", ".join(f"{number} {state}" for state, number in self.counts.items()),
            f"calls left: {_calls_left(account)}",
            f"oldest due: {cell(account.oldest_due)}",
            f"drained in: {cell(account.drained_in)}",
        ]
        if not account.is_looked_after:
            parts.append("no worker serves this account")
        if account.pause:
            parts.append(f"paused {_paused(account.pause)}")
        return f"{cell(account.now)}  " + "; ".join(parts)

    def document(self) -> dict[str, object]:
        """All of it, as a JSON object."""
        account = self.account
        return {
            "account": self.name,
            "now": account.now.isoformat(),
            "pause": pause_document(account.pause),
            "calls_left": account.calls_left,
            "next_call_at": account.next_call_at and account.next_call_at.isoformat(),
            "looked_after_at": account.looked_after_at and account.looked_after_at.isoformat(),
            "looked_after": account.is_looked_after,
            "waiting": account.waiting,
            "oldest_due": account.oldest_due and account.oldest_due.isoformat(),
            "drained_in_seconds": round(account.drained_in.total_seconds(), 3),
            "counts": dict(self.counts),
            "counters": dict(sorted(self.counters.items())),
        }

    def _pairs(self) -> list[tuple[str, str]]:
        account, calls = self.account, _calls_left(self.account)
        if account.next_call_at:
            calls += f", the next at {cell(account.next_call_at)}"
        return [
            ("account", cell(self.name)),
            *([] if account.is_looked_after else [("worker", _alone(account))]),
            ("paused", _paused(account.pause) if account.pause else "no"),
            ("calls left", calls),
            ("waiting", str(account.waiting)),
            ("oldest due", cell(account.oldest_due)),
            ("drained in", cell(account.drained_in)),
        ]


def read_status(messages: Messages, budget: Budget | None) -> Status:
    """How the account stands now. Raises LedgerUnavailable."""
    return Status(messages.settings.account, messages.account(budget), messages.counts(), messages.stats())


def pause_document(pause: Pause | None) -> dict[str, object] | None:
    """A pause as a JSON object."""
    return {"until": pause.until.isoformat(), "reason": pause.reason, "trouble": pause.trouble} if pause else None


def _calls_left(account: Account) -> str:
    return "no limit" if account.calls_left is None else str(account.calls_left)


def _alone(account: Account) -> str:
    since = f"none since {cell(account.looked_after_at)}" if account.looked_after_at else "none ever"
    return f"{since} served this account: start one that does, or see if the name is right"


def _paused(pause: Pause) -> str:
    probed = ", then probed one call at a time" if pause.trouble else ""
    return f"until {cell(pause.until)}: {cell(pause.reason)}{probed}"

"""What the exchanges of one account have in common: its keys, its policy, its scripts, its clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pushledger.errors import LedgerUnavailable
from pushledger.ledger.exchange import Argument, Command, Exchange, Reply, ScriptCall
from pushledger.ledger.exchanges.replies import items
from pushledger.ledger.keys import Keys
from pushledger.ledger.policy import LedgerPolicy, milliseconds
from pushledger.ledger.scripts import Script, script

__all__ = ["FSYNC_TIMEOUT", "AccountExchange"]

T = TypeVar("T")
FSYNC_TIMEOUT = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class AccountExchange:
    """Builds exchanges of one account. ``now`` (ms, or a function) and ``script`` stand in for the server's
    clock and for the scripts, for tests."""

    keys: Keys
    policy: LedgerPolicy
    now: int | Callable[[], int] | None = None
    script: Callable[[str], Script] = script

    def given_now(self) -> int | None:
        """The time in place of the server's, if one was given."""
        return self.now() if callable(self.now) else self.now

    def call(self, verb: str, *arguments: Argument) -> ScriptCall:
        """One run of a verb's script."""
        now = self.given_now()
        return ScriptCall(self.script(verb), self.keys.prefix, ("" if now is None else now, *arguments))

    def synced(self, exchange: Exchange[T]) -> Exchange[T]:
        """The same, answered only when the server has synced its append-only file, if the policy asks for that."""
        if not self.policy.fsync:
            return exchange
        wait = Command(("WAITAOF", 1, 0, milliseconds(FSYNC_TIMEOUT)))

        def read(replies: Sequence[Reply]) -> T:
            if not items(replies[-1])[0]:
                raise LedgerUnavailable("recorded, but not synced to disk in time; repeat it with the same job_id")
            return exchange.read(replies[:-1])

        return Exchange((*exchange.commands, wait), read)

"""What the exchanges of one account have in common: its keys, its policy, its scripts, its clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import TypeVar

from pushledger.errors import LedgerUnavailable
from pushledger.ledger.exchange import Argument, Command, Exchange, Reply, ScriptCall
from pushledger.ledger.exchanges.replies import items
from pushledger.ledger.keys import Keys
from pushledger.ledger.policy import LedgerPolicy, milliseconds
from pushledger.ledger.scripts import Script, script

__all__ = ["AT_ONCE", "FSYNC_TIMEOUT", "AccountExchange", "named"]

T = TypeVar("T")
FSYNC_TIMEOUT = timedelta(seconds=2)
AT_ONCE = 50  # messages in one run of a script: some two milliseconds of the server's time


def named(fields: Mapping[str, Argument]) -> tuple[Argument, ...]:
    """Their number, then name, value, name, value …; the scripts read '' for what is left out."""
    present = tuple(chain.from_iterable(field for field in fields.items() if field[1] != ""))
    return (len(present), *present)


@dataclass(frozen=True, slots=True)
class AccountExchange:
    """Builds exchanges of one account. ``now`` (ms) and ``script`` stand in for clock and scripts, for tests."""

    keys: Keys
    policy: LedgerPolicy
    now: int | None = None
    script: Callable[[str], Script] = script

    def call(self, verb: str, *arguments: Argument) -> ScriptCall:
        """One run of a verb's script."""
        now = "" if self.now is None else self.now
        return ScriptCall(self.script(verb), self.keys.prefix, (now, *arguments))

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

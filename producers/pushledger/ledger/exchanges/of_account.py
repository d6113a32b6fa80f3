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

__all__ = ["AT_ONCE", "SAFE_WITHIN", "AccountExchange", "named"]

T = TypeVar("T")
SAFE_WITHIN = timedelta(seconds=2)
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
        """The same, answered only when it is as safe as the policy asks: synced to disk, or on a replica too."""
        if self.policy.fsync:
            wait, where = Command(("WAITAOF", 1, 0, milliseconds(SAFE_WITHIN))), "synced to disk"
        elif self.policy.replica:
            wait, where = Command(("WAIT", 1, milliseconds(SAFE_WITHIN))), "on a replica"
        else:
            return exchange

        def read(replies: Sequence[Reply]) -> T:
            # WAITAOF answers with two numbers, WAIT with one.
            done = replies[-1] if self.policy.replica else items(replies[-1])[0]
            if not done:
                raise LedgerUnavailable(f"recorded, but not {where} in time; repeat it with the same job_id")
            return exchange.read(replies[:-1])

        return Exchange((*exchange.commands, wait), read)

"""The exchange that hands out what the people on duty shall be told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from pushledger.ledger.exchange import Exchange, Reply
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import items
from pushledger.ledger.policy import milliseconds
from pushledger.signals import Signal, read_signal

__all__ = ["SignalExchanges"]


class SignalExchanges(AccountExchange):
    """Take signals, keep them, and say that they were told."""

    __slots__ = ()

    def take_signals(
        self, wanted: int, lease: timedelta, overdue_after: timedelta, done: Collection[str], held: Collection[str]
    ) -> Exchange[dict[str, Signal]]:
        """Up to ``wanted`` signals, each for as long as the lease, by the line that names it to the ledger.

        ``done`` were told; ``held`` are being told still, and are kept for another lease: of 0, they are handed back.
        """
        limits = (wanted, milliseconds(lease), milliseconds(overdue_after))
        call = self.call("signals", *limits, len(done), *done, *held)

        def read(replies: Sequence[Reply]) -> dict[str, Signal]:
            return {line: read_signal(self.keys.account, line) for line in map(str, items(replies[0]))}

        return Exchange((call,), read)

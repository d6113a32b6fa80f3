"""The desk for signals: takes them from the ledger, writes each to the log, hands them to couriers.

A signal is this worker's for a lease, which each look renews while a courier tries. So it is told at least once: again
only if the worker was killed after it told it and before the next look, and under the same id then. A pop would have
lost it instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from pushledger.signals import Signal
from pushledger.terminal import printable

from pushledger_worker.courier import Courier
from pushledger_worker.receivers import Receiver

__all__ = ["LEASE", "MOST_AT_ONCE", "SignalDesk"]

log = logging.getLogger(__name__)

# Longer than the tick is quiet after a failure, and than a broker takes to come back as a rule.
LEASE = timedelta(minutes=2)
MOST_AT_ONCE = 100
_RELIEF = ("resumed", "caught_up")


class SignalLedger(Protocol):
    """What the desk needs of the ledger."""

    def take_signals(
        self,
        wanted: int,
        *,
        lease: timedelta,
        done: Collection[str] = ...,
        held: Collection[str] = ...,
    ) -> dict[str, Signal]:
        """See Ledger."""


class SignalDesk:
    """One worker's part in telling an account's signals. Its tick asks the ledger with ``standing``, and brings what
    it got to ``take``; couriers call back from their threads."""

    def __init__(self, ledger: SignalLedger, receivers: Sequence[Receiver]) -> None:
        self._ledger = ledger
        self._couriers = [Courier(receiver, self._settled) for receiver in receivers]
        self._lock = threading.Lock()
        self._left: dict[str, int] = {}  # how many couriers are still trying, by the signal's line

    def take(self, taken: Mapping[str, Signal], done: Collection[str]) -> None:
        """Tell what is new; the ledger has heard of those that are ``done``."""
        with self._lock:
            for line in done:
                del self._left[line]
            # One whose lease ran out while the ledger was away is in hand still.
            fresh = {line: signal for line, signal in taken.items() if line not in self._left}
            self._left.update(dict.fromkeys(fresh, len(self._couriers)))
        for signal in fresh.values():
            _write(signal)
        if fresh:
            for courier in self._couriers:
                courier.bring(fresh)

    def close(self) -> None:
        """Stop the couriers, and hand back what they have not brought, for the next worker to tell at once."""
        for courier in self._couriers:
            courier.close()
        done, held = self.standing()
        if done or held:
            self._ledger.take_signals(0, lease=timedelta(0), done=done, held=held)

    def standing(self) -> tuple[list[str], list[str]]:
        """The lines of signals that were told, and of those that are being told still."""
        with self._lock:
            done = [line for line, left in self._left.items() if not left]
            return done, [line for line, left in self._left.items() if left]

    def _settled(self, lines: Collection[str]) -> None:
        with self._lock:
            for line in lines:
                if line in self._left:
                    self._left[line] -= 1


def _write(signal: Signal) -> None:
    log.log(
        logging.INFO if signal.kind in _RELIEF else logging.WARNING,
        "%s",
        printable(signal.sentence()),
        extra={
            "action": "signal",
            "account": signal.account,
            "signal": signal.kind,
            "local_id": signal.local_id,
            "reason": signal.reason,
        },
    )

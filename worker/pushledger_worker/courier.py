"""A courier brings signals to one receiver, in a thread of its own: neither delivery nor the tick waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from pushledger.signals import Signal

from pushledger_worker.receivers import NotTold, Receiver

__all__ = ["Courier"]

log = logging.getLogger(__name__)

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
GIVE_UP_AFTER = 3600.0
LAST_MOMENT = 2.0


class Courier:
    """Tries for an hour, at growing intervals, then gives up with an error in the log; other signals join in.

    ``settled`` hears the lines of signals that need no more trying.
    """

    def __init__(self, receiver: Receiver, settled: Callable[[Collection[str]], None]) -> None:
        self._receiver = receiver
        self._settled = settled
        self._waiting: dict[str, tuple[Signal, float]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def bring(self, signals: Mapping[str, Signal]) -> None:
        """Bring these soon; returns at once."""
        now = time.monotonic()
        with self._changed:
            self._waiting.update({line: (signal, now) for line, signal in signals.items()})
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"signals-{self._receiver.name}", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Stop trying, and give a try that is under way a moment to end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(LAST_MOMENT)

    def _run(self) -> None:
        failures = 0
        while batch := self._next(failures):
            try:
                self._receiver.tell([signal for signal, _ in batch.values()])
            except NotTold as error:
                failures += 1
                self._settle(self._too_old(batch, error))
            except Exception:  # a bug of ours must not end the thread
                log.exception("telling signals broke", extra={"action": "signal_broke"})
                self._settle(batch)
            else:
                failures = 0
                self._settle(batch)

    def _next(self, failures: int) -> dict[str, tuple[Signal, float]]:
        """What to bring now, after a wait that grows with the failures; nothing once it is closed."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures - 1, 10)) if failures else 0.0
        with self._changed:
            self._changed.wait_for(lambda: self._closed, wait)
            self._changed.wait_for(lambda: self._closed or self._waiting)
            return {} if self._closed else dict(self._waiting)

    def _too_old(self, batch: Mapping[str, tuple[Signal, float]], error: NotTold) -> list[str]:
        over = [line for line, (_, since) in batch.items() if time.monotonic() - since >= GIVE_UP_AFTER]
        log.log(
            logging.ERROR if over else logging.WARNING,
            "the %s did not take %d signals: %s; %d of them are given up",
            self._receiver.name,
            len(batch),
            error,
            len(over),
            extra={"action": "signal_not_told", "receiver": self._receiver.name, "given_up": len(over)},
        )
        return over

    def _settle(self, lines: Collection[str]) -> None:
        with self._changed:
            for line in lines:
                self._waiting.pop(line, None)
        self._settled(list(lines))

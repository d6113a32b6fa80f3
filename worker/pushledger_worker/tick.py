"""The worker's own tick: about each second it looks whether something is due, and wakes a delivery.

It makes a lost wake-up cost a second, and needs no beat. It is a step of the *consumer*: that one is started again
after the broker was away; a timer of the worker's own blueprint never fires again then.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from celery import bootsteps
from pushledger.errors import PushledgerError
from pushledger.ledger import Ledger
from pushledger.wakeup import WakeUps

from pushledger_worker.receivers import receivers
from pushledger_worker.settings import WorkerSettings, worker_settings
from pushledger_worker.signal_desk import SignalDesk

__all__ = ["Tick"]

log = logging.getLogger(__name__)

QUIET_AFTER_FAILURE = 5.0
WARN_EVERY = 60.0
NEAR_LIMIT = 0.8


class Tick(bootsteps.StartStopStep):
    """Looks for due messages, parked jobs and signals while the worker consumes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self._looker: _Looker | None = None

    def start(self, consumer: Any) -> None:
        """Arm the timer; called again after each reconnection."""
        if self._looker is None:
            self._looker = _Looker(worker_settings())
        self._timer = consumer.timer.call_repeatedly(worker_settings().tick.total_seconds(), self._looker.look)

    def stop(self, consumer: Any) -> None:
        """Disarm the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def shutdown(self, consumer: Any) -> None:
        """Disarm the timer for good."""
        self.stop(consumer)
        if self._looker is not None:
            self._looker.close()
            self._looker = None


class _Looker:
    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._ledger = Ledger.from_url(settings.redis_url, settings.account, settings.policy(), settings.redis_timeout)
        self._wake_ups = WakeUps(settings.broker_url)
        self._signals = SignalDesk(self._ledger, receivers(settings), settings.signal_age)
        self._quiet_until = 0.0
        self._warn_from = 0.0

    def look(self) -> None:
        """Wake a delivery if something is due; stays quiet a while when Redis is away, not to hold the worker up."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            asker = f"tick-{os.getpid()}-{time.monotonic_ns()}"
            wake, _ = self._ledger.wake(asker, self._settings.budget)
            if wake:
                self._wake_ups.publish(self._settings.account)
            self._signals.look()
            if self._ledger.parked_count():
                self._wake_ups.unpark(self._settings.account)
            self._warn_of_backlog()
        except Exception as error:  # whatever it is, the tick must go on
            self._hush(error)

    def close(self) -> None:
        """Leave to other workers what this one had in hand, and close the connections."""
        try:
            self._signals.close()
        except PushledgerError as error:  # they are taken by others when their lease is over
            log.warning("signals could not be handed back: %s", error, extra={"action": "tick_failed"})
        self._ledger.close()
        self._wake_ups.close()

    def _warn_of_backlog(self) -> None:
        limit = self._settings.max_backlog
        if not limit or time.monotonic() < self._warn_from:
            return
        counts = self._ledger.counts()
        waiting = counts["queued"] + counts["retrying"] + counts["sending"]
        if waiting >= NEAR_LIMIT * limit:
            self._warn_from = time.monotonic() + WARN_EVERY
            log.warning(
                "%d messages wait; from %d on, jobs are refused (PUSHLEDGER_MAX_BACKLOG)",
                waiting,
                limit,
                extra={"action": "backlog_near_limit", "waiting": waiting, "limit": limit},
            )

    def _hush(self, error: Exception) -> None:
        self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE
        log.warning("the tick could not look: %s", error, extra={"action": "tick_failed"})

"""The worker's own tick: about each second it looks whether something is due, and wakes a delivery.

It makes a lost wake-up cost a second, and needs no beat. All accounts are looked at in one round trip. It is a step of
the *consumer*: that one is started again after the broker was away; a timer of the worker's own blueprint never fires
again then.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from celery import bootsteps
from pushledger.errors import PushledgerError
from pushledger.ledger import Accounts, Looked, Question
from pushledger.wakeup import WakeUps

from pushledger_worker.receivers import Receiver, receivers
from pushledger_worker.served import ServedAccounts
from pushledger_worker.settings import WorkerSettings, worker_settings
from pushledger_worker.signal_desk import LEASE, MOST_AT_ONCE, SignalDesk

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
        self._served = ServedAccounts(settings)
        self._accounts = Accounts.from_url(settings.redis_url, settings.redis_timeout)
        self._wake_ups = WakeUps(settings.broker_url)
        self._receivers: list[Receiver] = receivers(settings)
        self._desks: dict[str, SignalDesk] = {}
        self._introduced: set[str] = set()
        self._warn_from: dict[str, float] = {}
        self._quiet_until = 0.0

    def look(self) -> None:
        """Wake deliveries of what is due; stays quiet a while when Redis is away, not to hold the worker up."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            self._look(self._served.current())
        except Exception as error:  # whatever it is, the tick must go on
            self._hush(error)

    def _look(self, served: Mapping[str, WorkerSettings]) -> None:
        self._keep_desks(served)
        questions = [self._question(settings) for settings in served.values()]
        if not questions:
            return
        found = self._accounts.look(f"tick-{os.getpid()}-{time.monotonic_ns()}", questions)
        for question in questions:
            self._desks[question.account].take(found[question.account].signals, question.done)
        for name, looked in found.items():
            if looked.wake:
                self._wake_ups.publish(name)
            if looked.parked:
                self._wake_ups.unpark(name)
            self._warn_of_backlog(name, looked, served[name].max_backlog)

    def _keep_desks(self, served: Mapping[str, WorkerSettings]) -> None:
        for name in self._desks.keys() - served.keys():
            self._desks.pop(name).close()
        if new := served.keys() - self._introduced:
            self._accounts.introduce(new)
            self._introduced |= new
        for name, settings in served.items():
            if name not in self._desks:
                self._desks[name] = SignalDesk(self._accounts.ledger(name, settings.policy()), self._receivers)

    def _question(self, settings: WorkerSettings) -> Question:
        done, held = self._desks[settings.account].standing()
        return Question(
            account=settings.account,
            policy=settings.policy(),
            budget=settings.budget,
            signals=MOST_AT_ONCE - len(held),
            lease=LEASE,
            overdue_after=settings.signal_age,
            done=done,
            held=held,
            counts=bool(settings.max_backlog) and time.monotonic() >= self._warn_from.get(settings.account, 0.0),
        )

    def close(self) -> None:
        """Leave to other workers what this one had in hand, and close the connections."""
        for desk in self._desks.values():
            try:
                desk.close()
            except PushledgerError as error:  # they are taken by others when their lease is over
                log.warning("signals could not be handed back: %s", error, extra={"action": "tick_failed"})
        self._accounts.close()
        self._wake_ups.close()

    def _warn_of_backlog(self, account: str, looked: Looked, limit: int) -> None:
        if not limit or looked.waiting < NEAR_LIMIT * limit:
            return
        self._warn_from[account] = time.monotonic() + WARN_EVERY
        log.warning(
            "%d messages of %s wait; from %d on, jobs are refused (PUSHLEDGER_MAX_BACKLOG)",
            looked.waiting,
            account,
            limit,
            extra={"action": "backlog_near_limit", "account": account, "waiting": looked.waiting, "limit": limit},
        )

    def _hush(self, error: Exception) -> None:
        self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE
        log.warning("the tick could not look: %s", error, extra={"action": "tick_failed"})

"""Wake-ups: one Celery message that says there is work, carrying the account and nothing else."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from pushledger.broker import DELIVER, DELIVER_QUEUE, make_producer

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["WakeUps"]

log = logging.getLogger(__name__)

QUIET_AFTER_FAILURE = 5.0


class WakeUps:
    """Publishes wake-ups. A failure is logged, never raised: the job is recorded, and a worker's tick finds it."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._lock = threading.Lock()
        self._producer: Celery | None = None
        self._pid = 0
        self._quiet_until = 0.0

    def publish(self, account: str) -> bool:
        """Wake a delivery for the account; False when it was not sent. Takes about a second at most."""
        if time.monotonic() < self._quiet_until:
            return False
        try:
            self._connected().send_task(
                DELIVER,
                kwargs={"account": account},
                queue=DELIVER_QUEUE,
                ignore_result=True,
                serializer="json",
                argsrepr="()",
                kwargsrepr="{}",
            )
        except Exception as error:  # whatever the broker's client raises, the job itself is safe
            self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE
            log.warning(
                "no wake-up was sent, a worker will find the work by itself: %s",
                error,
                extra={"action": "wake_up_failed", "account": account},
            )
            return False
        return True

    def _connected(self) -> Celery:
        # A pool that was opened before a fork must not be used by the child (gunicorn with preload).
        with self._lock:
            if self._producer is None or self._pid != os.getpid():
                self._producer, self._pid = make_producer(self._broker_url), os.getpid()
            return self._producer

    def close(self) -> None:
        """Close the connections to the broker."""
        with self._lock:
            if self._producer is not None and self._pid == os.getpid():
                self._producer.close()
            self._producer = None

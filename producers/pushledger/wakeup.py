"""Wake-ups: one Celery message that says there is work, carrying the account and nothing else."""

from __future__ import annotations

import logging
import time

from pushledger.broker import DELIVER, DELIVER_QUEUE, INTAKE_QUEUE, UNPARK
from pushledger.publisher import Publisher

__all__ = ["WakeUps"]

log = logging.getLogger(__name__)

QUIET_AFTER_FAILURE = 5.0


class WakeUps:
    """Publishes wake-ups. A failure is logged, never raised: the job is recorded, and a worker's tick finds it."""

    def __init__(self, broker_url: str) -> None:
        self._publisher = Publisher(broker_url)
        self._quiet_until = 0.0

    def publish(self, account: str) -> bool:
        """Wake a delivery for the account; False when it was not sent. Takes about a second at most."""
        return self._sent(account, DELIVER, DELIVER_QUEUE, {"account": account})

    def unpark(self, account: str) -> bool:
        """Have the account's parked jobs tried again; False when it was not sent."""
        return self._sent(account, UNPARK, INTAKE_QUEUE, {})

    def _sent(self, account: str, task: str, queue: str, values: dict[str, str]) -> bool:
        if time.monotonic() < self._quiet_until:
            return False
        try:
            self._publisher.send(task, queue, values)
        except Exception as error:  # whatever the broker's client raises, the job itself is safe
            self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE
            log.warning(
                "no wake-up was sent, a worker will find the work by itself: %s",
                str(error) or type(error).__name__,
                extra={"action": "wake_up_failed", "account": account},
            )
            return False
        return True

    def close(self) -> None:
        """Close the connection to the broker."""
        self._publisher.close()

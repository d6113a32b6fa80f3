"""Makes the queue of dead letters on RabbitMQ, before the worker takes a task that might need it."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from pushledger.quorum_queues import dead_letters

__all__ = ["DeadLetters"]


class DeadLetters(bootsteps.StartStopStep):
    """A step of the consumer, so that a broker that came back empty has the queue again."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        """Declare the queue; called again after each reconnection."""
        with consumer.connection.channel() as channel:
            dead_letters().bind(channel).declare()

    def stop(self, consumer: Any) -> None:
        """Nothing to stop."""

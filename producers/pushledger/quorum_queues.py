"""The queues as RabbitMQ keeps them: replicated, on disk, and with a place for what no worker could take in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu import Queue

__all__ = ["DEAD_QUEUE", "DELIVERY_LIMIT", "dead_letters", "quorum_queues"]

DEAD_QUEUE = "pushledger.dead"
DELIVERY_LIMIT = 20
_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
# A job that ends its worker again and again is put aside and kept, by the queue that holds it, until the other
# one has it; without a limit it would go round for ever, without a place for it it would be dropped.
_PUT_ASIDE: dict[str, Any] = {
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_QUEUE,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def quorum_queues(*names: str) -> list[Queue]:
    """Queues on one topic exchange, each bound by its own name: Celery binds them all to the first one's otherwise."""
    from kombu import Exchange, Queue

    exchange = Exchange("pushledger", type="topic", durable=True)
    arguments = {**_QUORUM, **_PUT_ASIDE}
    return [Queue(name, exchange, routing_key=name, queue_arguments=arguments) for name in names]


def dead_letters() -> Queue:
    """Where a job goes that was handed out too often. Nobody consumes it."""
    from kombu import Queue

    return Queue(DEAD_QUEUE, routing_key=DEAD_QUEUE, queue_arguments=_QUORUM)

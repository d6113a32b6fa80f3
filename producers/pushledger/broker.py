"""The Celery side of the contract: names of tasks and queues, and the options that survive a broken broker.

A shop whose Celery app shares this broker can enqueue by name, without this package::

    app.send_task(
        "pushledger.create",                      # or pushledger.update, pushledger.upsert, pushledger.delete
        kwargs={"local_id": "order:1042", "visitor_id": "…", "agent_id": "…", "text": "Order received", "version": 1},
        queue="pushledger.intake",
        argsrepr="()",
        kwargsrepr="{}",
        ignore_result=True,
    )

- The queue must be named, here or by the app's own ``task_routes = {"pushledger.*": {"queue": "pushledger.intake"}}``:
  else the job goes to the app's default queue, where no worker of ours sees it.
- ``kwargs`` are the arguments of Messages.create, update, upsert and delete as JSON values; positional ones are
  refused. The task's id is the job's id. ``account`` names another account than the worker's ``PUSHLEDGER_ACCOUNT``.
- ``argsrepr`` and ``kwargsrepr`` are to be blanked: Celery sends the arguments a second time in the headers, as a
  representation for logs and monitors, and that holds the text and the visitor.
- On RabbitMQ the queue is a quorum queue, which a Celery app that does not know it would declare otherwise; see
  docs/brokers.md for the three lines that tell it.
- With a ``version`` an update or delete may arrive before its create; without one it is refused then.
- What cannot be accepted is kept: ``pushledger list --state refused``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushledger.broker_address import BrokerAddress
from pushledger.quorum_queues import quorum_queues

if TYPE_CHECKING:
    from celery import Celery

__all__ = [
    "DELIVER",
    "DELIVER_QUEUE",
    "INTAKE_QUEUE",
    "INTAKE_TASKS",
    "UNPARK",
    "broker_settings",
    "make_producer",
    "reach_broker",
]

DELIVER = "pushledger.deliver"
UNPARK = "pushledger.unpark"
DELIVER_QUEUE = "pushledger.deliver"
INTAKE_QUEUE = "pushledger.intake"
INTAKE_TASKS = {verb: f"pushledger.{verb}" for verb in ("create", "update", "upsert", "delete")}


def broker_settings(address: BrokerAddress) -> dict[str, Any]:
    """Celery settings that producers and workers share: queues, JSON only, no results."""
    from kombu import Queue

    queues = [Queue(DELIVER_QUEUE), Queue(INTAKE_QUEUE)]
    return {
        "broker_url": address.url,
        "broker_use_ssl": address.tls or False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "task_ignore_result": True,
        "task_queues": quorum_queues(DELIVER_QUEUE, INTAKE_QUEUE) if address.kind == "rabbitmq" else queues,
        "task_default_queue": DELIVER_QUEUE,
        "task_create_missing_queues": False,
        "task_routes": {
            DELIVER: {"queue": DELIVER_QUEUE},
            UNPARK: {"queue": INTAKE_QUEUE},
            **{name: {"queue": INTAKE_QUEUE} for name in INTAKE_TASKS.values()},
        },
    }


def make_producer(broker_url: str) -> Celery:
    """A Celery app that only publishes, and gives up after about a second.

    kombu waits for ever by default, and its own retries multiply the wait; a lost wake-up costs nothing, as
    every worker's tick looks for what is due.
    """
    from celery import Celery

    address = BrokerAddress.from_url(broker_url)
    producer = Celery("pushledger-producer", set_as_current=False)
    producer.conf.update(broker_settings(address))
    producer.conf.update(
        task_publish_retry=False, broker_transport_options=address.publishing(), broker_connection_timeout=1
    )
    return producer


def reach_broker(broker_url: str) -> str:
    """Connect to the broker, or raise what its client raises within a few seconds; its URL without the password."""
    producer = make_producer(broker_url)
    try:
        with producer.connection_for_write(connect_timeout=2) as connection:
            connection.connect()
            return str(connection.as_uri())
    finally:
        producer.close()

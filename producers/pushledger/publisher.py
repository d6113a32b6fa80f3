"""One connection to the broker, over which a process sends its few Celery messages, and which finds its way back.

Celery's own pool keeps a connection to RabbitMQ that has died, and hands it out again each time.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from pushledger.broker import make_producer

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

__all__ = ["Publisher"]

# Closing a connection, which its collection would do, would end it for the process that this one was forked from.
_left_to_the_parent: list[tuple[Celery, Connection]] = []


class Publisher:
    """Sends tasks by name; each within about a second, by one thread at a time."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._open: tuple[Celery, Connection] | None = None

    def send(self, task: str, queue: str, values: dict[str, str]) -> None:
        """Send a task; raises whatever the broker's client raises.

        A kept connection that the broker has closed fails at once: one more try, on a fresh one. Never after a
        time-out, which would double the wait.
        """
        with self._lock:
            self._leave_to_the_parent()
            was_kept = self._open is not None
            try:
                self._send(task, queue, values)
            except Exception as error:  # kombu's transports raise what they like
                self._drop()
                # redis-py has a TimeoutError of its own.
                if not was_kept or "Timeout" in type(error.__cause__ or error).__name__:
                    raise
                try:
                    self._send(task, queue, values)
                except Exception:
                    self._drop()
                    raise

    def _send(self, task: str, queue: str, values: dict[str, str]) -> None:
        if self._open is None:
            app = make_producer(self._broker_url)
            self._open = app, app.connection_for_write()
        app, connection = self._open
        app.send_task(
            task,
            kwargs=values,
            queue=queue,
            connection=connection,
            ignore_result=True,
            serializer="json",
            argsrepr="()",
            kwargsrepr="{}",
        )

    def _drop(self) -> None:
        # Without a word to the broker, which may be frozen.
        if self._open is not None:
            app, connection = self._open
            self._open = None
            connection.collect()
            app.close()

    def _leave_to_the_parent(self) -> None:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            if self._open is not None:
                _left_to_the_parent.append(self._open)
                self._open = None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._leave_to_the_parent()
            self._drop()

"""Calls a URL for every event, in the background: bounded, one call at a time, each within a time-out.

The client is the standard library's: one POST whose answer's body nobody reads needs no dependency. A thread sends,
not the event loop, so events leave as well where the application is only mounted in a test.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from brevo_sandbox.wire import BadInputError, Json, dump

MOST_WAITING = 1000
MOST_SHOWN = 100
LONGEST_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where events go, and how many seconds one call may take."""

    url: str
    timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot be called."""
        if not 0 < self.timeout_seconds <= LONGEST_TIMEOUT:
            raise BadInputError(f"timeout_seconds: expected more than 0, at most {LONGEST_TIMEOUT:g}")
        parts = self._parts()
        plain = self.url.isascii() and self.url.isprintable() and " " not in self.url
        if not plain or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise BadInputError("url: expected http://host:port/path")

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine for certain."""
        host = self._parts().hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def call(self, body: bytes) -> int:
        """Post a body and give the status; what fails is an OSError or an HTTPException."""
        parts = self._parts()
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self.timeout_seconds)
        # The time-out of the connection is one of each read; a receiver that drips would never meet it.
        watchdog = threading.Timer(self.timeout_seconds, _cut, (connection,))
        watchdog.daemon = True
        watchdog.start()
        try:
            path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
            connection.request("POST", path, body, {"content-type": "application/json", "connection": "close"})
            return connection.getresponse().status
        finally:
            watchdog.cancel()
            connection.close()

    def _parts(self) -> SplitResult:
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as exc:
            raise BadInputError(f"url: {exc}") from exc
        return parts


@dataclass(frozen=True, slots=True)
class Delivery:
    """One call and what came of it; `at` is Unix seconds, `status` None where nothing was answered."""

    number: int
    event: str
    at: float
    seconds: float
    status: int | None
    error: str | None
    body: Json

    @property
    def failed(self) -> bool:
        """Whether the receiver did not say that it has it."""
        return self.status is None or not 200 <= self.status <= 299

    def as_json(self) -> dict[str, Json]:
        """Show it for inspection."""
        return {
            "number": self.number,
            "event": self.event,
            "at": self.at,
            "seconds": self.seconds,
            "status": self.status,
            "error": self.error,
            "body": self.body,
        }


class Webhooks:
    """The receiver, what waits for it, and the last calls; nothing is tried twice."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.receiver: Receiver | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Receiver, str, Json]] = deque()
        self._calling = False
        self._deliveries: deque[Delivery] = deque(maxlen=MOST_SHOWN)
        self._delivered = 0
        self._failed = 0
        self._dropped = 0

    def send(self, event: str, body: Json) -> None:
        """Have an event delivered soon; one too many is dropped, and counted."""
        if self.receiver is None:
            return
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self._dropped += 1
                return
            self._waiting.append((self.receiver, event, body))
            if self._calling:
                return
            self._calling = True
        threading.Thread(target=self._call_all, name="brevo-sandbox-webhooks", daemon=True).start()

    def close(self) -> None:
        """Send nothing any more."""
        self.receiver = None
        with self._lock:
            self._waiting.clear()

    def deliveries(self) -> list[Delivery]:
        """List the last calls, newest first."""
        with self._lock:
            return list(reversed(self._deliveries))

    def as_json(self) -> dict[str, Json]:
        """Show the receiver, the counts and the last calls."""
        receiver, deliveries = self.receiver, self.deliveries()
        with self._lock:
            return {
                "url": None if receiver is None else receiver.url,
                "timeout_seconds": None if receiver is None else receiver.timeout_seconds,
                "waiting": len(self._waiting) + self._calling,
                "delivered": self._delivered,
                "failed": self._failed,
                "dropped": self._dropped,
                "deliveries": [delivery.as_json() for delivery in deliveries],
            }

    def _call_all(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._calling = False
                    return
                receiver, event, body = self._waiting.popleft()
            self._call(receiver, event, body)

    def _call(self, receiver: Receiver, event: str, body: Json) -> None:
        at, began = self._clock(), time.monotonic()
        status: int | None = None
        error: str | None = None
        try:
            status = receiver.call(dump(body))
        except (OSError, HTTPException) as exc:
            error = f"{type(exc).__name__}: {exc}"
        seconds = time.monotonic() - began
        if status is None and seconds >= receiver.timeout_seconds:
            error = f"no answer within {receiver.timeout_seconds:g} s"
        with self._lock:
            number = self._delivered + self._failed + 1
            delivery = Delivery(number, event, at, round(seconds, 3), status, error, body)
            self._failed += delivery.failed
            self._delivered += not delivery.failed
            self._deliveries.append(delivery)


def _cut(connection: HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)

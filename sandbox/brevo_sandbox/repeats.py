"""The throttle on identical requests, which the code `duplicate_request` of Brevo's key concepts stands for."""

from __future__ import annotations

from brevo_sandbox.incoming import Incoming


class Repeats:
    """When each request was last let in, for as long as that can matter."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str | None, str, str, str, bytes], float] = {}

    def draw(self, request: Incoming, now: float, seconds: float) -> bool:
        """Let a request in; False when the very same one, of the same key, came less than `seconds` ago."""
        self._forget(now - seconds)
        mark = (request.header("api-key"), request.method, request.path, request.query, request.body)
        if mark in self._seen:
            return False
        self._seen[mark] = now
        return True

    def _forget(self, until: float) -> None:
        # Entries stand in the order of their times, so only those that go are looked at.
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest] > until:
                return
            del self._seen[oldest]

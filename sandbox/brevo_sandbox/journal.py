"""Every request the API received, in order, and the counts over them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from brevo_sandbox.incoming import Incoming
from brevo_sandbox.wire import Json


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and what came of it; times are Unix seconds, `status` is None without an answer."""

    number: int
    received_at: float
    request: Incoming
    finished_at: float | None = None
    status: int | None = None
    fault: str | None = None
    delay: float = 0.0
    effect: bool = False
    message_id: str | None = None

    def as_json(self) -> dict[str, Json]:
        """Show it without the key it was sent with."""
        request = self.request
        return {
            "number": self.number,
            "received_at": self.received_at,
            "finished_at": self.finished_at,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.open_headers(),
            "api_key": request.header("api-key") is not None,
            "api_key_tail": request.key_tail(),
            "body": request.shown_body(),
            "status": self.status,
            "fault": self.fault,
            "delay": self.delay,
            "effect": self.effect,
            "message_id": self.message_id,
        }


class Journal:
    """The last requests, numbered from 1, and counts over all of them."""

    def __init__(self, size: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=size)
        self._last = 0
        self._open = 0
        self._most_open = 0
        self._methods: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._faults: Counter[str] = Counter()
        self._effects = 0

    @property
    def last(self) -> int:
        """The number of the newest request."""
        return self._last

    def begin(self, request: Incoming, now: float) -> int:
        """Note a request and give it its number."""
        self._last += 1
        self._open += 1
        self._most_open = max(self._most_open, self._open)
        self._methods[request.method] += 1
        self._entries.append(Entry(self._last, now, request))
        return self._last

    def struck(self, number: int, names: tuple[str, ...], delay: float) -> None:
        """Note what faults befell a request."""
        self._faults.update(names)
        entry = self._find(number)
        if entry is not None and names:
            self._put(replace(entry, fault=names[-1], delay=delay))

    def performed(self, number: int, *, effect: bool, message_id: str | None) -> None:
        """Note what a request did."""
        self._effects += effect
        entry = self._find(number)
        if entry is not None:
            self._put(replace(entry, effect=effect, message_id=message_id))

    def finish(self, number: int, status: int | None, now: float) -> None:
        """Note how a request ended."""
        self._open -= 1
        if status is not None:
            self._statuses[status] += 1
        entry = self._find(number)
        if entry is not None:
            self._put(replace(entry, status=status, finished_at=now))

    def since(self, number: int) -> Iterator[Entry]:
        """List the requests after a number, as far as they are kept."""
        first = self._last - len(self._entries) + 1
        return islice(self._entries, max(0, number + 1 - first), None)

    def stats(self) -> dict[str, Json]:
        """Show the counts."""
        return {
            "requests": self._last,
            "methods": dict(self._methods),
            "statuses": {str(status): count for status, count in self._statuses.items()},
            "faults": dict(self._faults),
            "effects": self._effects,
            "rate_limited": self._statuses[429],
            "unanswered": self._last - self._open - self._statuses.total(),
            "concurrent": self._open,
            "max_concurrent": self._most_open,
        }

    def _find(self, number: int) -> Entry | None:
        place = number - (self._last - len(self._entries) + 1)
        return self._entries[place] if place >= 0 else None

    def _put(self, entry: Entry) -> None:
        self._entries[entry.number - (self._last - len(self._entries) + 1)] = entry

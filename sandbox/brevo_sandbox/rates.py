"""The rate limit: how many calls a window allows, and the windows now running."""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from brevo_sandbox.wire import BadInputError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WRITTEN = re.compile(
    r"(?P<calls>\d{1,9})/(?P<many>\d{1,9}(?:\.\d{1,9})?)?"
    r"(?P<unit>s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in so many seconds."""

    calls: int
    seconds: float

    def __post_init__(self) -> None:
        """Refuse what no window can be made of."""
        if self.calls < 1 or not self.seconds > 0 or math.isinf(self.seconds):
            raise BadInputError("rate: expected at least one call in a window longer than nothing")

    def __str__(self) -> str:
        return f"{self.calls}/{self.seconds:g}s"


def parse_rate(written: str) -> Rate | None:
    """Read `60/10s`, `100/hour`, `5/min` …, or `off` for no limit."""
    if written.strip().lower() == "off":
        return None
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        raise BadInputError(f"rate: {written!r} is not of the form 60/10s, 100/hour or off")
    many = float(found["many"] or 1)
    return Rate(int(found["calls"]), many * _UNITS[found["unit"][0].lower()])


@dataclass(frozen=True, slots=True)
class Quota:
    """What the rate-limit headers tell; `reset` is whole seconds left, never a point in time."""

    limit: int
    remaining: int
    reset: int


class Window(Protocol):
    """What a rate allows over time; the count starts with the first call."""

    count_refused: bool

    def draw(self, now: float) -> bool:
        """Take one call; False when there is none left."""

    def quota(self, now: float) -> Quota:
        """Tell what is left, without taking any."""


class FixedWindow:
    """A window that starts with its first call and forgets everything when it ends.

    With `count_refused`, each refused call is taken from what the next window would allow.
    """

    def __init__(self, rate: Rate, *, count_refused: bool = False) -> None:
        self._rate = rate
        self.count_refused = count_refused
        self._ends: float | None = None
        self._used = 0
        self._refused = 0

    def draw(self, now: float) -> bool:
        """Take one call from the window; False when there is none left."""
        self._roll(now)
        if self._ends is None:
            self._ends = now + self._rate.seconds
        if self._used >= self._rate.calls:
            self._refused += 1
            return False
        self._used += 1
        return True

    def quota(self, now: float) -> Quota:
        """Tell what is left, without taking any."""
        self._roll(now)
        left = self._rate.seconds if self._ends is None else self._ends - now
        return Quota(self._rate.calls, max(0, self._rate.calls - self._used), max(1, math.ceil(left)))

    def _roll(self, now: float) -> None:
        if self._ends is not None and now >= self._ends:
            self._used = min(self._refused, self._rate.calls) if self.count_refused else 0
            self._refused = 0
            self._ends = None


class SlidingWindow:
    """A window that forgets each call when it is a window old; `reset` tells when the oldest one is.

    With `count_refused`, a refused call takes the place of the oldest one, so that hammering keeps it shut.
    """

    def __init__(self, rate: Rate, *, count_refused: bool = False) -> None:
        self._rate = rate
        self.count_refused = count_refused
        self._calls: deque[float] = deque(maxlen=rate.calls)

    def draw(self, now: float) -> bool:
        """Take one call; False when there is none left."""
        self._forget(now)
        free = len(self._calls) < self._rate.calls
        if free or self.count_refused:
            self._calls.append(now)
        return free

    def quota(self, now: float) -> Quota:
        """Tell what is left, without taking any."""
        self._forget(now)
        left = self._calls[0] + self._rate.seconds - now if self._calls else self._rate.seconds
        return Quota(self._rate.calls, self._rate.calls - len(self._calls), max(1, math.ceil(left)))

    def _forget(self, now: float) -> None:
        while self._calls and now >= self._calls[0] + self._rate.seconds:
            self._calls.popleft()


class Buckets:
    """One window for each group of calls that share a limit, by whatever name the caller gives the group."""

    def __init__(self, rate: Rate, *, sliding: bool = False, count_refused: bool = False) -> None:
        self.rate = rate
        self._sliding = sliding
        self._count_refused = count_refused
        self._windows: dict[str, Window] = {}

    def count_refused(self, count: bool) -> None:
        """Let refused calls count from here on, or no longer; the windows that are running go on."""
        self._count_refused = count
        for window in self._windows.values():
            window.count_refused = count

    def draw(self, bucket: str, now: float) -> bool:
        """Take one call from a bucket; False when there is none left."""
        return self._window(bucket).draw(now)

    def quota(self, bucket: str, now: float) -> Quota:
        """Tell what a bucket still allows."""
        return self._window(bucket).quota(now)

    def tightest(self, now: float) -> Quota:
        """Tell what the bucket with the least left still allows."""
        quotas = [window.quota(now) for window in self._windows.values()]
        return min(quotas, key=lambda quota: quota.remaining, default=self._new().quota(now))

    def _window(self, bucket: str) -> Window:
        window = self._windows.get(bucket)
        if window is None:
            window = self._windows[bucket] = self._new()
        return window

    def _new(self) -> Window:
        kind = SlidingWindow if self._sliding else FixedWindow
        return kind(self.rate, count_refused=self._count_refused)

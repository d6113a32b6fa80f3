"""The rate limit: how many calls a window allows, and the window now running."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

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


class Window:
    """A fixed window that starts with its first call.

    With `count_refused`, each refused call is taken from what the next window would allow.
    """

    def __init__(self, rate: Rate, *, count_refused: bool = False) -> None:
        self.rate = rate
        self.count_refused = count_refused
        self._ends: float | None = None
        self._used = 0
        self._refused = 0

    def draw(self, now: float) -> bool:
        """Take one call from the window; False when there is none left."""
        self._roll(now)
        if self._ends is None:
            self._ends = now + self.rate.seconds
        if self._used >= self.rate.calls:
            self._refused += 1
            return False
        self._used += 1
        return True

    def quota(self, now: float) -> Quota:
        """Tell what is left, without taking any."""
        self._roll(now)
        left = self.rate.seconds if self._ends is None else self._ends - now
        return Quota(self.rate.calls, max(0, self.rate.calls - self._used), max(1, math.ceil(left)))

    def _roll(self, now: float) -> None:
        if self._ends is not None and now >= self._ends:
            self._used = min(self._refused, self.rate.calls) if self.count_refused else 0
            self._refused = 0
            self._ends = None

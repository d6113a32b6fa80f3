"""Moments and durations as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["Moment", "moment", "spoken"]

_NOW = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment for machines, in UTC for people, and as seen from now."""

    iso: str
    absolute: str
    relative: str


def moment(at: datetime, now: datetime) -> Moment:
    """A moment as it is shown."""
    utc = at.astimezone(UTC)
    return Moment(utc.isoformat(timespec="seconds"), f"{utc:%Y-%m-%d %H:%M:%S} UTC", _relative(at - now))


def _relative(distance: timedelta) -> str:
    if abs(distance) < _NOW:
        return "now"
    return f"in {spoken(distance)}" if distance > timedelta(0) else f"{spoken(-distance)} ago"


def spoken(duration: timedelta) -> str:
    """A duration in words, to two figures or so."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return "less than a second"
    if seconds < 89.5:
        return _of(round(seconds), "second")
    if seconds < 59.5 * 60:
        return _of(round(seconds / 60), "minute")
    if seconds < 36 * 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min" if minutes else _of(hours, "hour")
    return _of(round(seconds / 86_400), "day")


def _of(number: int, unit: str) -> str:
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"

"""The throughput of the last hours as bars: calls, and messages confirmed, in slots of five minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pushledger.ledger import Sample

from pushledger_dashboard.views.times import Moment, moment

__all__ = ["Bar", "Picture", "picture"]

SLOT = timedelta(minutes=5)
SLOTS = 48
WIDTH, HEIGHT = 10, 100  # of one slot, in the picture's own units


@dataclass(frozen=True, slots=True)
class Slot:
    """What happened in one slot, and the most that waited then."""

    begins: datetime
    calls: int = 0
    confirmed: int = 0
    throttled: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """One slot: its numbers, and where its two bars stand."""

    begins: Moment
    clock: str
    calls: int
    confirmed: int
    throttled: int
    waiting: int
    x: int
    calls_height: float
    confirmed_height: float


@dataclass(frozen=True, slots=True)
class Picture:
    """All bars, oldest first, with the scale and a sentence that says the same."""

    bars: tuple[Bar, ...]
    most: int
    width: int
    height: int
    hours: tuple[str, ...]
    summary: str
    is_empty: bool


def picture(now: datetime, stats: dict[str, int], history: Sequence[Sample]) -> Picture:
    """The picture of the four hours before now."""
    slots = _slots(now, [*history, _current(now, stats)])
    most = max(1, *(max(slot.calls, slot.confirmed) for slot in slots))
    calls, confirmed = sum(slot.calls for slot in slots), sum(slot.confirmed for slot in slots)
    throttled = sum(slot.throttled for slot in slots)
    return Picture(
        bars=tuple(_bar(number, slot, most, now) for number, slot in enumerate(slots)),
        most=most,
        width=SLOTS * WIDTH,
        height=HEIGHT,
        hours=tuple(f"{slot.begins:%H:%M}" for slot in slots[:: SLOTS // 4]),
        summary=f"{calls:,} calls in the last four hours, {confirmed:,} of them confirmed, {throttled:,} answered 429.",
        is_empty=calls == 0 and confirmed == 0,
    )


def _current(now: datetime, stats: dict[str, int]) -> Sample:
    return Sample(
        at=now,
        jobs=stats.get("jobs", 0),
        calls=stats.get("calls", 0),
        folded=0,
        unchanged=0,
        cancelled=0,
        throttled=stats.get("throttled", 0),
        refused=0,
        confirmed=stats.get("outcome_confirmed", 0),
        waiting=0,
    )


def _slots(now: datetime, samples: Sequence[Sample]) -> list[Slot]:
    """The differences between samples, each in the slot in which the later one was taken."""
    last = _floor(now)
    first = last - SLOT * (SLOTS - 1)
    slots = [Slot(first + SLOT * number) for number in range(SLOTS)]
    for before, after in pairwise(samples):
        number = (_floor(after.at) - first) // SLOT
        if 0 <= number < SLOTS and after.at <= now:
            slots[number] = _added(slots[number], before, after)
    return slots


def _added(slot: Slot, before: Sample, after: Sample) -> Slot:
    return Slot(
        slot.begins,
        slot.calls + max(0, after.calls - before.calls),
        slot.confirmed + max(0, after.confirmed - before.confirmed),
        slot.throttled + max(0, after.throttled - before.throttled),
        max(slot.waiting, after.waiting),
    )


def _floor(at: datetime) -> datetime:
    seconds = SLOT.total_seconds()
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def _bar(number: int, slot: Slot, most: int, now: datetime) -> Bar:
    return Bar(
        begins=moment(slot.begins, now),
        clock=f"{slot.begins:%H:%M}",
        calls=slot.calls,
        confirmed=slot.confirmed,
        throttled=slot.throttled,
        waiting=slot.waiting,
        x=number * WIDTH,
        calls_height=round(HEIGHT * slot.calls / most, 2),
        confirmed_height=round(HEIGHT * slot.confirmed / most, 2),
    )

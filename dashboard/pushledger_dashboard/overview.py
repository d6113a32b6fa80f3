"""The account at one moment: what waits, the budget, the forecast, how fast it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pushledger import AsyncMessages
from pushledger.ledger import Account, Heartbeat, Sample, shown_within
from pydantic import BaseModel, Field

__all__ = ["Overview", "OverviewDocument", "Reading", "throughput"]

KEPT_FOR = 0.9
HISTORY = 241  # minutes: for the picture of the last four hours
_SPANS = {"last_5_minutes": timedelta(minutes=5), "last_hour": timedelta(hours=1)}


class PauseDocument(BaseModel):
    """The account waits; ``trouble``: then one call at a time looks whether it is over."""

    until: datetime
    reason: str
    trouble: bool


class ThroughputDocument(BaseModel):
    """What happened each minute on average, over ``minutes`` (fewer than asked for while the history is short)."""

    minutes: float
    jobs: float
    calls: float
    confirmed: float
    throttled: float


class OverviewDocument(BaseModel):
    """The account at one moment."""

    account: str
    now: datetime
    counts: dict[str, int] = Field(description="Messages by state; `known`: ids in the map.")
    waiting: int
    oldest_due: datetime | None
    pause: PauseDocument | None
    calls_left: int | None = Field(description="null: no limit")
    next_call_at: datetime | None
    drained_in_seconds: float = Field(description="Forecast: until what waits is done, if each needs one call.")
    heartbeat_at: datetime | None = Field(description="When a delivery last began.")
    calls: int
    throttled: int = Field(description="Answers 429.")
    saved: int = Field(description="Calls that folding, cancelling and knowing better made needless.")
    shown_within: dict[str, int] = Field(
        description="Changes shown within so many seconds; each includes those before."
    )
    throughput: dict[str, ThroughputDocument]


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the ledger says of the account at one moment."""

    account: Account
    counts: dict[str, int]
    stats: dict[str, int]
    heartbeat: Heartbeat
    history: Sequence[Sample]


class Overview:
    """Reads the overview; askers within a second share one reading."""

    def __init__(self, messages: AsyncMessages) -> None:
        self._messages = messages
        self._read_at = -KEPT_FOR
        self._kept: Reading | None = None
        self._under_way: asyncio.Task[Reading] | None = None

    def changed(self) -> None:
        """What was read before this moment is not shown any more: whoever changes something looks at it next."""
        self._kept = self._under_way = None

    async def reading(self) -> Reading:
        """What the ledger says, at most a second old."""
        if self._kept is not None and time.monotonic() - self._read_at < KEPT_FOR:
            return self._kept
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._read())
            self._under_way.add_done_callback(self._keep)
        # Whoever goes away must not end the reading for those who wait for it too.
        return await asyncio.shield(self._under_way)

    async def document(self) -> OverviewDocument:
        """The overview, at most a second old."""
        return _overview(self._messages.settings.account, await self.reading())

    def _keep(self, reading: asyncio.Task[Reading]) -> None:
        if reading is not self._under_way:  # something has changed since it began
            return
        self._under_way = None
        if not reading.cancelled() and reading.exception() is None:
            self._kept, self._read_at = reading.result(), time.monotonic()

    async def _read(self) -> Reading:
        account, counts, stats, heartbeat, history = await asyncio.gather(
            self._messages.account(),
            self._messages.counts(),
            self._messages.stats(),
            self._messages.heartbeat(),
            self._messages.history(HISTORY),
        )
        return Reading(account, counts, stats, heartbeat, history)


def _overview(name: str, reading: Reading) -> OverviewDocument:
    account, stats = reading.account, reading.stats
    pause = account.pause
    return OverviewDocument(
        account=name,
        now=account.now,
        counts=reading.counts,
        waiting=account.waiting,
        oldest_due=account.oldest_due,
        pause=pause and PauseDocument(until=pause.until, reason=pause.reason, trouble=pause.trouble),
        calls_left=account.calls_left,
        next_call_at=account.next_call_at,
        drained_in_seconds=round(account.drained_in.total_seconds(), 3),
        heartbeat_at=reading.heartbeat.last,
        calls=stats.get("calls", 0),
        throttled=stats.get("throttled", 0),
        saved=sum(stats.get(name, 0) for name in ("folded", "unchanged", "cancelled")),
        shown_within={f"{seconds:g}": number for seconds, number in shown_within(stats)},
        throughput={
            name: found
            for name, span in _SPANS.items()
            if (found := throughput(account.now, stats, reading.history, span)) is not None
        },
    )


def throughput(
    now: datetime, stats: dict[str, int], history: Sequence[Sample], span: timedelta
) -> ThroughputDocument | None:
    """The average from the oldest sample within ``span`` until now; None when there is none that is old enough."""
    since = next((sample for sample in history if now - span <= sample.at < now), None)
    if since is None or now - since.at < timedelta(seconds=1):
        return None
    minutes = (now - since.at) / timedelta(minutes=1)

    def rate(counter: str, before: int) -> float:
        return round(max(0, stats.get(counter, 0) - before) / minutes, 3)

    return ThroughputDocument(
        minutes=round(minutes, 3),
        jobs=rate("jobs", since.jobs),
        calls=rate("calls", since.calls),
        confirmed=rate("outcome_confirmed", since.confirmed),
        throttled=rate("throttled", since.throttled),
    )

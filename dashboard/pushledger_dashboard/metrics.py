"""Figures for Prometheus, read from the ledger at each scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from pushledger import AsyncMessages
from pushledger.ledger import Account, Heartbeat, shown_within

__all__ = ["metrics_text"]

_JOBS = ("queued", "folded", "unchanged", "stale", "cancelled", "refused")
_DECISIONS = ("retry", "resend", "resolve", "discard", "adopt")
_OUTCOMES = ("confirmed", "gone", "unknown", "unsent", "refused")


@dataclass(frozen=True, slots=True)
class _Reading:
    name: str
    account: Account
    counts: dict[str, int]
    stats: dict[str, int]
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True, eq=False)
class _Readings(Collector):
    found: Sequence[_Reading]

    def collect(self) -> Iterator[Metric]:
        """Each figure once, with a sample of each account."""
        families: dict[str, Metric] = {}
        for reading in self.found:
            for family in _figures(reading):
                families.setdefault(family.name, family)
                if families[family.name] is not family:
                    families[family.name].samples.extend(family.samples)
        yield from families.values()


def _figures(reading: _Reading) -> Iterator[Metric]:
    yield from _counters(reading)
    yield from _gauges(reading)
    shown = HistogramMetricFamily(
        "pushledger_shown_seconds", "From the acceptance of a change to its being shown.", labels=["account"]
    )
    buckets = [("+Inf" if seconds == float("inf") else f"{seconds:g}", n) for seconds, n in shown_within(reading.stats)]
    # No sum is kept, as each call would pay for it; quantiles need none.
    shown.add_metric([reading.name], buckets, None)
    yield shown


def _counters(reading: _Reading) -> Iterator[Metric]:
    name, stats = reading.name, reading.stats
    jobs = CounterMetricFamily("pushledger_jobs", "Jobs by what became of them.", labels=["account", "outcome"])
    decisions = CounterMetricFamily("pushledger_decisions", "Decisions of people.", labels=["account", "decision"])
    calls = CounterMetricFamily(
        "pushledger_call_outcomes", "Calls by what came of them.", labels=["account", "outcome"]
    )
    for family, names, prefix in ((jobs, _JOBS, ""), (decisions, _DECISIONS, ""), (calls, _OUTCOMES, "outcome_")):
        for label in names:
            family.add_metric([name, label], stats.get(prefix + label, 0))
        yield family
    saved = sum(stats.get(label, 0) for label in ("folded", "unchanged", "cancelled"))
    yield _counter(name, "calls", "Calls that were claimed.", stats.get("calls", 0))
    yield _counter(name, "lost_calls", "Calls whose lease ran out.", stats.get("lost_calls", 0))
    yield _counter(name, "throttled", "Answers 429.", stats.get("throttled", 0))
    yield _counter(name, "saved", "Calls that folding, cancelling and knowing better made needless.", saved)


def _gauges(reading: _Reading) -> Iterator[Metric]:
    name, account, now = reading.name, reading.account, reading.account.now
    states = GaugeMetricFamily("pushledger_messages", "Messages by state.", labels=["account", "state"])
    for state, number in reading.counts.items():
        states.add_metric([name, state], number)
    yield states
    oldest = max(0.0, (now - account.oldest_due).total_seconds()) if account.oldest_due else 0.0
    yield _gauge(name, "waiting", "Messages that wait.", account.waiting)
    yield _gauge(name, "oldest_due_seconds", "How long the oldest due message has been due.", oldest)
    yield _gauge(name, "drained_in_seconds", "Forecast until what waits is done.", account.drained_in.total_seconds())
    yield _gauge(name, "paused", "1 while the account is paused.", int(account.pause is not None))
    yield _gauge(name, "looked_after", "1 while a worker serves the account.", int(account.is_looked_after))
    if account.calls_left is not None:
        yield _gauge(name, "budget_left", "Calls that may be made now.", account.calls_left)
    if reading.heartbeat.last is not None:
        last = reading.heartbeat.last.timestamp()
        yield _gauge(name, "heartbeat_timestamp_seconds", "When a delivery last began.", last)


def _counter(account: str, name: str, text: str, value: float) -> Metric:
    family = CounterMetricFamily(f"pushledger_{name}", text, labels=["account"])
    family.add_metric([account], value)
    return family


def _gauge(account: str, name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"pushledger_{name}", text, labels=["account"])
    family.add_metric([account], value)
    return family


async def _read(messages: AsyncMessages) -> _Reading:
    account, counts, stats, heartbeat = await asyncio.gather(
        messages.account(), messages.counts(), messages.stats(), messages.heartbeat()
    )
    return _Reading(messages.settings.account, account, counts, stats, heartbeat)


async def metrics_text(accounts: Sequence[AsyncMessages]) -> bytes:
    """All figures of these accounts in Prometheus' text format."""
    found = await asyncio.gather(*map(_read, accounts))
    registry = CollectorRegistry()
    registry.register(_Readings(found))
    return generate_latest(registry)

"""Figures for Prometheus, read from the ledger at each scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from pushledger import AsyncMessages
from pushledger.ledger import Account, Budget, Heartbeat, shown_within

__all__ = ["metrics_text"]

_JOBS = ("queued", "folded", "unchanged", "stale", "cancelled", "refused")
_DECISIONS = ("retry", "resend", "resolve", "discard", "adopt")
_OUTCOMES = ("confirmed", "gone", "unknown", "unsent", "refused")


@dataclass(frozen=True, slots=True, eq=False)
class _Reading(Collector):
    name: str
    account: Account
    counts: dict[str, int]
    stats: dict[str, int]
    heartbeat: Heartbeat

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._gauges()
        shown = HistogramMetricFamily(
            "pushledger_shown_seconds", "From the acceptance of a change to its being shown.", labels=["account"]
        )
        buckets = [
            ("+Inf" if seconds == float("inf") else f"{seconds:g}", n) for seconds, n in shown_within(self.stats)
        ]
        # No sum is kept, as each call would pay for it; quantiles need none.
        shown.add_metric([self.name], buckets, None)
        yield shown

    def _counters(self) -> Iterator[Metric]:
        jobs = CounterMetricFamily("pushledger_jobs", "Jobs by what became of them.", labels=["account", "outcome"])
        decisions = CounterMetricFamily("pushledger_decisions", "Decisions of people.", labels=["account", "decision"])
        calls = CounterMetricFamily(
            "pushledger_call_outcomes", "Calls by what came of them.", labels=["account", "outcome"]
        )
        for family, names, prefix in ((jobs, _JOBS, ""), (decisions, _DECISIONS, ""), (calls, _OUTCOMES, "outcome_")):
            for name in names:
                family.add_metric([self.name, name], self.stats.get(prefix + name, 0))
            yield family
        saved = sum(self.stats.get(name, 0) for name in ("folded", "unchanged", "cancelled"))
        yield self._counter("calls", "Calls that were claimed.", self.stats.get("calls", 0))
        yield self._counter("lost_calls", "Calls whose lease ran out.", self.stats.get("lost_calls", 0))
        yield self._counter("throttled", "Answers 429.", self.stats.get("throttled", 0))
        yield self._counter("saved", "Calls that folding, cancelling and knowing better made needless.", saved)

    def _gauges(self) -> Iterator[Metric]:
        account, now = self.account, self.account.now
        states = GaugeMetricFamily("pushledger_messages", "Messages by state.", labels=["account", "state"])
        for state, number in self.counts.items():
            states.add_metric([self.name, state], number)
        yield states
        oldest = max(0.0, (now - account.oldest_due).total_seconds()) if account.oldest_due else 0.0
        yield self._gauge("waiting", "Messages that wait.", account.waiting)
        yield self._gauge("oldest_due_seconds", "How long the oldest due message has been due.", oldest)
        yield self._gauge(
            "drained_in_seconds", "Forecast until what waits is done.", account.drained_in.total_seconds()
        )
        yield self._gauge("paused", "1 while the account is paused.", int(account.pause is not None))
        if account.calls_left is not None:
            yield self._gauge("budget_left", "Calls that may be made now.", account.calls_left)
        if self.heartbeat.last is not None:
            yield self._gauge(
                "heartbeat_timestamp_seconds", "When a delivery last began.", self.heartbeat.last.timestamp()
            )

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"pushledger_{name}", text, labels=["account"])
        family.add_metric([self.name], value)
        return family

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"pushledger_{name}", text, labels=["account"])
        family.add_metric([self.name], value)
        return family


async def metrics_text(messages: AsyncMessages, budget: Budget) -> bytes:
    """All figures in Prometheus' text format."""
    account, counts, stats, heartbeat = await asyncio.gather(
        messages.account(budget), messages.counts(), messages.stats(), messages.heartbeat()
    )
    registry = CollectorRegistry()
    registry.register(_Reading(messages.settings.account, account, counts, stats, heartbeat))
    return generate_latest(registry)

"""Health, readiness, figures and live events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from account import Account, create
from dashboard.conftest import OpenDashboard
from prometheus_client.parser import text_string_to_metric_families
from pushledger import AsyncMessages, LedgerUnavailable
from pushledger.ledger import GENERAL_TIER
from pushledger_dashboard import events
from pushledger_dashboard.events import Live
from pushledger_dashboard.overview import Overview
from pushledger_dashboard.problems import Problem
from pushledger_dashboard.readiness import Readiness
from pushledger_dashboard.settings import DashboardSettings
from pydantic import BaseModel

pytestmark = pytest.mark.anyio


async def test_health_asks_nobody(dashboard: OpenDashboard) -> None:
    """Not even the ledger."""
    async with dashboard(redis_url="redis://127.0.0.1:1/0") as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        away = await client.get("/readyz")
        assert (away.status_code, away.json()["reason"]) == (503, "the ledger does not answer")
        overview = await client.get("/v1/overview")
        assert (overview.status_code, overview.headers["retry-after"]) == (503, "2")
        assert "127.0.0.1" not in overview.text


class Broker:
    """Counts wake-ups; a worker behind it begins a delivery, unless it is gone."""

    def __init__(self, ledger: Account, takes: bool = True, worker: bool = True) -> None:
        self.ledger, self.takes, self.worker, self.published = ledger, takes, worker, 0

    def publish(self, account: str) -> bool:
        self.published += 1
        if self.takes and self.worker:
            self.ledger.run(self.ledger.exchanges.begin(GENERAL_TIER))
        return self.takes

    def close(self) -> None:
        pass


async def test_ready_is_who_has_a_fresh_heartbeat(ledger: Account, settings: Callable[..., DashboardSettings]) -> None:
    """One that is younger than 30 seconds, or that comes when it is asked for."""
    ledger.now = None  # type: ignore[assignment]  # the server's own clock
    broker = Broker(ledger)
    async with AsyncMessages(settings(), wake_ups=broker) as messages:  # type: ignore[arg-type]
        readiness = Readiness(messages, patience=timedelta(seconds=0.3))
        first = await readiness.look()
        assert (first.ready, broker.published) == (True, 1)
        assert (await readiness.look()).ready
        assert broker.published == 1, "the heartbeat is fresh"


async def test_not_ready_says_why_and_asks_seldom(ledger: Account, settings: Callable[..., DashboardSettings]) -> None:
    """While no worker runs, wake-ups would pile up in the broker."""
    broker = Broker(ledger, worker=False)
    async with AsyncMessages(settings(), wake_ups=broker) as messages:  # type: ignore[arg-type]
        readiness = Readiness(messages, patience=timedelta(seconds=0.1))
        looks = await asyncio.gather(*(readiness.look() for _ in range(5)))
        assert not any(look.ready for look in looks)
        assert "no worker has begun a delivery ever" in looks[0].reason
        assert broker.published == 1
        broker.takes = False
        refused = await Readiness(messages).look()
        assert refused.reason == "the broker did not take a wake-up"


async def test_metrics_are_what_the_ledger_counts(api: httpx.AsyncClient, ledger: Account, account: str) -> None:
    """In Prometheus' format, every figure that alerts need."""
    ledger.deliver()
    ledger.record(create("order:2"))
    ledger.settle(ledger.claim_one(), "unsent", status=429, counts=False, retry_in=timedelta(seconds=5))
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "account")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert f'account="{account}"' in answer.text
    assert found["pushledger_messages", "queued"] == 1
    assert found["pushledger_messages", "known"] == 1
    assert found["pushledger_call_outcomes_total", "confirmed"] == 1
    assert found["pushledger_call_outcomes_total", "unsent"] == 1
    assert found["pushledger_calls_total",] == 2
    assert found["pushledger_throttled_total",] == 1
    assert found["pushledger_saved_total",] == 0
    assert found["pushledger_shown_seconds_bucket", "+Inf"] == 1
    assert found["pushledger_shown_seconds_bucket", "1"] == 1
    assert found["pushledger_budget_left",] == 100
    assert found["pushledger_paused",] == 0
    assert "pushledger_oldest_due_seconds" in answer.text


class _Figure(BaseModel):
    now: int
    value: int


async def test_events_come_when_something_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when only the time has; a ledger that is away is told; the stream ends with the server."""
    monkeypatch.setattr(events, "EVERY", 0.01)
    live, read = Live(), 0

    async def figure() -> _Figure | None:
        nonlocal read
        read += 1
        if read == 6:
            raise LedgerUnavailable("away")
        if read > 8:
            live.close()
        return _Figure(now=read, value=read // 4) if read != 7 else None

    said = [event async for event in live.stream("figure", figure)]
    assert said[0] == "retry: 2000\n\n"
    kinds = [event.split("\n")[0] for event in said[1:]]
    assert kinds == ["event: figure", "event: figure", "event: away", "event: gone", "event: figure"]
    assert json.loads(said[1].split("data: ")[1])["value"] == 0


async def test_open_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that ends makes room."""
    monkeypatch.setattr(events, "MOST", 1)
    live = Live()

    async def figure() -> _Figure:
        return _Figure(now=1, value=1)

    first = live.stream("figure", figure)
    await anext(aiter(first))
    with pytest.raises(Problem):
        live.stream("figure", figure)
    live.close()
    assert len([event async for event in first]) <= 1
    live.stream("figure", figure)


async def test_those_who_ask_at_once_share_one_reading(settings: Callable[..., DashboardSettings]) -> None:
    """Whoever goes away meanwhile takes nothing from the others; a failure is everybody's, and not kept."""
    async with AsyncMessages(settings()) as messages:
        overview, read = Overview(messages), 0
        stats = messages.stats

        async def counted() -> dict[str, int]:
            nonlocal read
            read += 1
            if read == 1:
                raise LedgerUnavailable("away")
            return await stats()

        messages.stats = counted  # type: ignore[method-assign]
        failed = await asyncio.gather(*(overview.document() for _ in range(5)), return_exceptions=True)
        assert [type(one) for one in failed] == [LedgerUnavailable] * 5
        asked = [asyncio.create_task(overview.reading()) for _ in range(5)]
        await asyncio.sleep(0)
        asked[0].cancel()
        assert len({id(one) for one in await asyncio.gather(*asked[1:])}) == 1
        assert read == 2

"""What a worker's tick says of its own accord."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pushledger.jobs import Create
from pushledger.ledger import Ledger
from pushledger_worker.settings import WorkerSettings
from pushledger_worker.tick import _Looker


@pytest.fixture
def settings(valkey_url: str, account: str) -> WorkerSettings:
    values: dict[str, Any] = {"redis_url": valkey_url, "account": account, "api_key": "k", "rate": "off"}
    return WorkerSettings(broker_url="memory://", max_backlog=10, **values)


@pytest.fixture
def ledger(settings: WorkerSettings) -> Iterator[Ledger]:
    ledger = Ledger.from_url(settings.redis_url, settings.account, settings.policy(), settings.redis_timeout)
    yield ledger
    ledger.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if getattr(record, "action", "") == "backlog_near_limit"]


def test_a_backlog_near_its_limit_is_told_once_a_minute(
    settings: WorkerSettings, ledger: Ledger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = _Looker(settings)
    ledger.record([Create(f"order:{n}", f"v{n}", "text", agent_id="a") for n in range(7)])
    looker.look()
    assert not warnings(caplog), "seven of ten are none of its business"

    ledger.record([Create("order:7", "v7", "text", agent_id="a")])
    looker.look()
    looker.look()
    (told,) = warnings(caplog)
    assert (told.levelname, told.__dict__["waiting"], told.__dict__["limit"]) == ("WARNING", 8, 10)

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    looker.look()
    assert len(warnings(caplog)) == 2
    looker._ledger.close()
    looker._wake_ups.close()


def test_without_a_limit_nothing_is_told(
    settings: WorkerSettings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    looker = _Looker(settings.model_copy(update={"max_backlog": 0}))
    ledger.record([Create("order:1", "v", "text", agent_id="a")])
    looker.look()
    assert not warnings(caplog)
    looker._ledger.close()
    looker._wake_ups.close()

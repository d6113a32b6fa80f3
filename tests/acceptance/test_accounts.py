"""Several accounts in one fleet, with real workers: each is served, and none slows another."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from conftest import WaitUntil
from pushledger import Messages
from pushledger.broker import broker_settings
from pushledger.broker_address import BrokerAddress
from pushledger.jobs import Create

NO_KEY = {"API_KEY": ""}
SHOWN_WITHIN = 2.0


def add(root: Path, name: str, **files: str) -> None:
    """An account's folder, its key named after it; put in place at once, as a mount does."""
    made = root.parent / f"made-{name}"
    made.mkdir()
    for file, content in {"api_key": f"a-long-key-of-the-tests-{name}", **files}.items():
        (made / file).write_text(content, encoding="utf-8")
    made.rename(root / name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "accounts"
    folder.mkdir()
    return folder


def fill(messages: Messages, number: int) -> None:
    """So many messages, each of another visitor."""
    account = messages.settings.account
    jobs = [Create(f"{account}:{n}", f"{account}-v{n}", "Order received", agent_id="a") for n in range(number)]
    messages.submit(jobs)


def shown_after(stage: Any, messages: Messages, local_id: str, seconds: float) -> float:
    """Create one message; how long it takes until its visitor sees it."""
    began = time.monotonic()
    messages.create(local_id, visitor_id=f"{local_id}-v", text="Shipped", agent_id="a")
    while not stage.sandbox.seen_by(f"{local_id}-v"):
        assert time.monotonic() < began + seconds, f"{local_id} is not shown within {seconds:g} s"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_busy_account_does_not_hold_up_another(
    stage: Any, root: Path, concurrency: int, wait_until: WaitUntil
) -> None:
    """One drains 10,000 messages with every process; what another has to show is shown soon all the same."""
    add(root, "busy")
    add(root, "calm")
    with Messages(stage.settings, account="busy") as busy, Messages(stage.settings, account="calm") as calm:
        fill(busy, 10_000)
        stage.worker(ACCOUNTS_DIR=str(root), CONCURRENCY=str(concurrency), **NO_KEY)
        wait_until(lambda: busy.counts()["known"] > 100 * concurrency, 20, "the busy account drains")
        took = [shown_after(stage, calm, f"order:{n}", 10) for n in range(5)]
        counts = busy.counts()
        assert counts["queued"] > 1000, "it was busy all the while"
        assert sorted(took)[2] < SHOWN_WITHIN, took
        assert max(took) < 2 * SHOWN_WITHIN, took


@pytest.mark.parametrize("trouble", ["hangs", "refused", "paused"])
def test_an_account_in_trouble_does_not_hold_up_another(
    stage: Any, root: Path, trouble: str, wait_until: WaitUntil
) -> None:
    add(root, "ill")
    add(root, "well")
    with Messages(stage.settings, account="ill") as ill, Messages(stage.settings, account="well") as well:
        if trouble == "paused":
            ill.pause(timedelta(hours=1))
        else:
            kind = {"hangs": "timeout_before", "refused": "unauthorized"}[trouble]
            for n in range(20):
                stage.sandbox.fault(kind, visitor_id=f"ill-v{n}", **({"seconds": 30} if trouble == "hangs" else {}))
        fill(ill, 20)
        stage.worker(ACCOUNTS_DIR=str(root), CALL_TIMEOUT="20s", **NO_KEY)
        if trouble != "paused":
            wait_until(lambda: stage.sandbox.requests("POST"), 20, "its calls are under way")
        assert shown_after(stage, well, "order:1", 10) < 2 * SHOWN_WITHIN
        assert not ill.counts()["known"]
        if trouble == "hangs":
            assert ill.counts()["sending"], "they hang still"
        else:
            assert ill.account().pause is not None
            assert well.account().pause is None


def test_accounts_and_keys_change_without_a_restart_and_each_call_has_its_own_key(
    stage: Any, root: Path, wait_until: WaitUntil
) -> None:
    add(root, "fr")
    worker = stage.worker(ACCOUNTS_DIR=str(root), **NO_KEY)
    with Messages(stage.settings, account="fr") as fr, Messages(stage.settings, account="de") as de:
        shown_after(stage, fr, "order:1", 10)
        de.create("order:2", visitor_id="order:2-v", text="Shipped", agent_id="a")
        wait_until(lambda: "account de, which this worker does not serve" in worker.text(), 10, "the log says so")
        add(root, "de")
        wait_until(lambda: stage.sandbox.seen_by("order:2-v"), 10, "the new account is served")
        (root / ".new").write_text("another-long-key-of-the-tests-fr2", encoding="utf-8")
        (root / ".new").rename(root / "fr" / "api_key")
        shown_after(stage, fr, "order:3", 10)
    tails = {one["body"]["visitorId"]: one["api_key_tail"] for one in stage.sandbox.requests("POST")}
    assert len(tails) == 3
    assert "a-long-key-of-the-tests-fr".endswith(tails["order:1-v"])
    assert "a-long-key-of-the-tests-de".endswith(tails["order:2-v"])
    assert "another-long-key-of-the-tests-fr2".endswith(tails["order:3-v"])
    assert "key-of-the-tests" not in worker.text()


def test_each_account_has_a_budget_of_its_own(stage: Any, root: Path, wait_until: WaitUntil) -> None:
    add(root, "small", rate="3/hour")
    add(root, "large", rate="40/hour")
    with Messages(stage.settings, account="small") as small, Messages(stage.settings, account="large") as large:
        fill(small, 10)
        fill(large, 20)
        stage.worker(ACCOUNTS_DIR=str(root), CONCURRENCY="2", **NO_KEY)
        wait_until(lambda: large.counts()["known"] == 20, 20, "the large one is done")
        wait_until(lambda: small.counts()["known"] == 3, 20, "the small one has made its calls")
        assert small.stats()["calls"] == 3
        assert (small.account().calls_left, large.account().calls_left) == (0, 20), "each by its own rate"
        assert small.account().drained_in > timedelta(hours=2)


def test_a_job_enqueued_by_name_goes_to_its_account(stage: Any, root: Path, wait_until: WaitUntil) -> None:
    add(root, "fr")
    stage.worker(ACCOUNTS_DIR=str(root), **NO_KEY)
    shop = Celery("shop", set_as_current=False)
    shop.conf.update(broker_settings(BrokerAddress.from_url(stage.settings.broker_url)))
    options = {"queue": "pushledger.intake", "argsrepr": "()", "kwargsrepr": "{}", "ignore_result": True}
    values = {"local_id": "order:1", "visitor_id": "v", "agent_id": "a", "text": "Order received"}
    shop.send_task("pushledger.create", kwargs={**values, "account": "fr"}, **options)
    shop.send_task("pushledger.create", kwargs={**values, "account": "nobody"}, **options)
    with Messages(stage.settings, account="fr") as fr, Messages(stage.settings) as home:
        wait_until(lambda: fr.message_id("order:1"), 10, "it is delivered")
        wait_until(home.refused, 10, "the other is refused where it is seen")
        assert home.refused()[0]["field"] == "account"
    shop.close()

"""The outbox with real relays: several at once, killed again and again, and while Redis is away."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from outbox_contract import shown
from outbox_shop import OutboxShop
from pushledger import Delete, Update

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil


@pytest.fixture
def shop(stage: Stage, tmp_path: Path) -> Iterator[OutboxShop]:
    shop = OutboxShop(stage, f"sqlite:///{tmp_path}/shop.db")
    yield shop
    shop.engine.dispose()


def test_two_relays_lose_nothing_double_nothing_and_keep_the_order(shop: OutboxShop, wait_until: WaitUntil) -> None:
    shop.let_two_relays_work(wait_until)


def test_relays_that_are_killed_again_and_again_record_each_job_once(shop: OutboxShop, wait_until: WaitUntil) -> None:
    shop.let_relays_die(wait_until)


def test_redis_may_be_down_at_the_commit(stage: Stage, shop: OutboxShop, wait_until: WaitUntil) -> None:
    stage.worker()
    shop.commit(shown(1, "Order received"))
    relay = shop.relay()
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 15, "the visitor sees it")
    stage.valkey.kill()
    shop.commit(Update("order:1", "Packed"), Update("order:1", "Shipped"), shown(2, "Order received"))
    shop.commit(Delete("order:2"), Update("order:404", "Shipped"))
    wait_until(lambda: "waits 0.5 s" in relay.text(), 15, "the relay waits")
    stage.valkey.start()
    wait_until(shop.is_done, 30, "all rows are handed over")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 30, "the visitor sees the newest text")
    wait_until(lambda: stage.rests("order:1", "order:2"), 10, "all is at rest")
    assert stage.sandbox.seen_by("visitor-2") == []
    assert [one["text"] for one in stage.sandbox.stored()] == ["Shipped"]

    checked = json.loads(stage.run("check", "--wait", "100ms", "--json", OUTBOX_URL=shop.url).stdout)["checks"]
    (found,) = [one for one in checked if one["name"] == "outbox"]
    assert (found["outcome"], found["sentence"].partition(":")[0]) == ("warning", "0 rows wait, 1 were refused")
    status = stage.run("outbox", "status", "--json", OUTBOX_URL=shop.url)
    (row,) = json.loads(status.stdout)["rows"]
    assert (row["local_id"], row["verb"]) == ("order:404", "update")
    assert "no live message has this id" in row["error"]
    assert stage.run("outbox", "drop", str(row["id"]), OUTBOX_URL=shop.url).stdout == "1 dropped\n"
    relay.process.send_signal(signal.SIGINT)
    assert relay.ends(10) == 0


def test_the_verb_says_which_database_is_meant(stage: Stage) -> None:
    done = stage.run("outbox", "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: PUSHLEDGER_OUTBOX_URL: must name the shop's database")
    done = stage.run("outbox", "status", OUTBOX_URL="shop://user:secret@nowhere/db")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: PUSHLEDGER_OUTBOX_URL: must be a URL of SQLAlchemy whose driver is installed")
    assert "secret" not in done.stderr
    printed = stage.run("outbox", "ddl", OUTBOX_URL="postgresql+psycopg://user@127.0.0.1/shop")
    assert "id BIGSERIAL NOT NULL" in printed.stdout, printed.stderr

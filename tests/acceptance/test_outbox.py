"""The outbox with real relays: several at once, killed again and again, and while Redis is away."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from outbox_contract import shown
from pushledger import Delete, Job, Update
from pushledger_outbox import Standing
from pushledger_sqlalchemy import SqlAlchemyStore, add, metadata
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from acceptance.conftest import Stage, Worker
    from conftest import WaitUntil

MESSAGES, CHANGES = 200, 5


class Shop:
    """A shop whose database is a file of SQLite, and the relays that it starts."""

    def __init__(self, stage: Stage, file: Path) -> None:
        self._stage, self.url = stage, f"sqlite:///{file}"
        self.engine = create_engine(self.url)
        metadata.create_all(self.engine)
        self._store = SqlAlchemyStore(self.engine, stage.account)

    def commit(self, *jobs: Job) -> None:
        with Session(self.engine) as session, session.begin():
            add(session, *jobs, account=self._stage.account)

    def standing(self) -> Standing:
        return self._store.standing()

    def is_done(self) -> bool:
        return not self.standing().waiting

    def relay(self, batch: int = 20) -> Worker:
        settings: dict[str, Any] = {
            "OUTBOX_URL": self.url,
            "OUTBOX_LEASE": "1s",
            "OUTBOX_BATCH": f"{batch}",
            "OUTBOX_EVERY": "50ms",
        }
        return self._stage.process(["-m", "pushledger", "outbox", "relay"], ready=False, **settings)

    def commit_many(self) -> None:
        """Several changes of many messages; those of one message stand close together, so that relays could race."""
        for first in range(0, MESSAGES, 3):
            numbers = range(first, min(first + 3, MESSAGES))
            self.commit(*(shown(number, "text 0") for number in numbers))
            for change in range(1, CHANGES):
                self.commit(*(Update(f"order:{number}", f"text {change}") for number in numbers))

    def assert_each_job_is_recorded_once(self) -> None:
        assert self.standing() == Standing(0, None, 0)
        found = self._stage.messages.get_all([f"order:{number}" for number in range(MESSAGES)])
        assert {(one and one.revision, one and one.text) for one in found} == {(CHANGES, f"text {CHANGES - 1}")}
        assert self._stage.messages.stats()["jobs"] == MESSAGES * CHANGES


@pytest.fixture
def shop(stage: Stage, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(stage, tmp_path / "shop.db")
    yield shop
    shop.engine.dispose()


def test_two_relays_lose_nothing_double_nothing_and_keep_the_order(
    stage: Stage, shop: Shop, wait_until: WaitUntil
) -> None:
    relays = [shop.relay(), shop.relay()]
    wait_until(lambda: all("relay ready" in relay.text() for relay in relays), 30, "the relays are ready")
    shop.commit_many()
    wait_until(shop.is_done, 60, "all rows are handed over")
    shop.assert_each_job_is_recorded_once()
    for relay in relays:
        relay.terminate()
    assert [relay.ends(10) for relay in relays] == [0, 0]
    assert not any("Traceback" in relay.text() or "text 0" in relay.text() for relay in relays)


def test_relays_that_are_killed_again_and_again_record_each_job_once(
    stage: Stage, shop: Shop, wait_until: WaitUntil
) -> None:
    shop.commit_many()
    left = [shop.standing().waiting]

    def have_begun() -> bool:
        return shop.standing().waiting < left[-1]

    for death in range(6):
        pair = [shop.relay(batch=5), shop.relay(batch=5)]
        wait_until(have_begun, 30, "one of them works")
        # A different moment of its work each time.
        time.sleep(0.003 * death)
        for relay in pair:
            relay.kill()
        left.append(shop.standing().waiting)
    assert left[-1] > 0, f"they died in the middle of it: {left}"
    shop.relay()
    wait_until(shop.is_done, 60, "all rows are handed over")
    shop.assert_each_job_is_recorded_once()


def test_redis_may_be_down_at_the_commit(stage: Stage, shop: Shop, wait_until: WaitUntil) -> None:
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

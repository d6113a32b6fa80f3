"""The relay over a real ledger: it may die between any two lines, and nothing is lost, doubled or brought back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from account import Account
from outbox_contract import shown
from pushledger import Create, Delete, Job, Message, Messages, Settings, Update
from pushledger_outbox import OutboxSettings, Relay, Store, StoreUnavailable
from pushledger_outbox.rows import milliseconds
from pushledger_sqlalchemy import SqlAlchemyStore, add, metadata
from sqlalchemy import Engine, create_engine, update
from sqlalchemy.orm import Session

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
HOURS = timedelta(hours=3)


class Died(BaseException):
    """The process was killed."""


class Mortal:
    """Counts the calls of what it stands for, and dies around one of them: before it does anything, or after it."""

    def __init__(self, count: list[int], dies_at: int, after: bool, *parts: Any) -> None:
        self._count, self._dies_at, self._after, self._parts = count, dies_at, after, parts

    def __getattr__(self, name: str) -> Callable[..., Any]:
        does = next(getattr(part, name) for part in self._parts if hasattr(part, name))

        def mortal(*arguments: Any) -> Any:
            self._count[0] += 1
            if self._count[0] == self._dies_at and not self._after:
                raise Died
            answer = does(*arguments)
            if self._count[0] == self._dies_at:
                raise Died
            return answer

        return mortal


class Shop:
    """A shop's database with an outbox, a ledger, and relays whose clock is the test's."""

    def __init__(self, engine: Engine, messages: Messages) -> None:
        self.engine, self.messages, self.now = engine, messages, NOW
        self.store = SqlAlchemyStore(engine, messages.settings.account)

    def add(self, *jobs: Job) -> None:
        with Session(self.engine) as session, session.begin():
            add(session, *jobs, account=self.messages.settings.account)

    def relay(self, store: Any = None, messages: Any = None, **settings: Any) -> Relay:
        given = OutboxSettings(redis_url=self.messages.settings.redis_url, **settings)
        ledger, rows = cast(Messages, messages or self.messages), cast(Store, store or self.store)
        return Relay(rows, ledger, given, lambda: self.now)

    def work(self, **settings: Any) -> None:
        """Let a relay work until nothing is free."""
        _work_until_idle(self.relay(**settings))

    def message(self, local_id: str = "order:1") -> Message:
        found = self.messages.get(local_id)
        assert found is not None
        return found

    def refused(self) -> dict[str, str]:
        return {row.local_id: row.error for row in self.store.refused(100)}

    def waiting(self) -> int:
        return self.store.standing().waiting


@pytest.fixture
def shop(tmp_path: Path, valkey_url: str, account: str) -> Iterator[Shop]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    metadata.create_all(engine)
    with Messages(Settings(redis_url=valkey_url, account=account)) as messages:
        yield Shop(engine, messages)
    engine.dispose()


def forget_jobs(client: redis.Redis, shop: Shop) -> None:
    """What happens to the ids of jobs 15 minutes after a message's last one."""
    for key in client.scan_iter(match=f"pushledger:{{{shop.messages.settings.account}}}:jobs:*", count=1000):
        client.delete(key)


def deliver(client: redis.Redis, shop: Shop) -> None:
    """Have everything delivered that waits: the records shrink to entries of the map."""
    account = Account(client, shop.messages.settings.account)
    # The ledger's own clock, a little ahead: whatever waits is due.
    account.now = milliseconds(datetime.now(UTC)) + 1000
    while claimed := account.claim().messages:
        for one in claimed:
            assert account.settle(one, "confirmed", f"m-{one.local_id}", status=200).state == "delivered"


CHANGES: list[Job] = [shown(1, "A"), Update("order:1", "B"), Delete("order:1"), shown(1, "C"), Update("order:1", "D")]
VERSIONED: list[Job] = [shown(1, "A", version=1), Update("order:1", "B", version=2), Update("order:1", "D", version=3)]
DEATHS = [(at, after) for at in range(1, 31) for after in (False, True)]


def _work_until_idle(relay: Relay) -> None:
    while relay.step().taken:
        pass


def die(shop: Shop, at: int, after: bool) -> int:
    """Let a relay die around its call of that number; how many calls it made. Rows it had are free again by then."""
    count = [0]
    part = Mortal(count, at, after, shop.store, shop.messages)
    relay = shop.relay(part, part)
    with pytest.raises(Died):
        _work_until_idle(relay)
    return count[0]


@pytest.mark.parametrize("jobs", [CHANGES, VERSIONED], ids=["plain", "versioned"])
@pytest.mark.parametrize("gone_for", [timedelta(minutes=1), HOURS], ids=["a minute", "hours"])
def test_a_relay_may_die_anywhere_and_each_job_is_recorded_once(
    shop: Shop, real_client: redis.Redis, jobs: list[Job], gone_for: timedelta
) -> None:
    deaths = 0
    for at, after in DEATHS:
        # Six calls for each row, and one that finds nothing more.
        if at > 6 * len(jobs) + 1:
            continue
        shop.messages.forget("order:1")
        forget_jobs(real_client, shop)
        shop.add(*jobs)
        die(shop, at, after)
        deaths += 1
        shop.now += gone_for
        if gone_for == HOURS:
            forget_jobs(real_client, shop)
        shop.work()
        assert (shop.waiting(), shop.refused()) == (0, {})
        message = shop.message()
        assert (message.revision, message.text) == (len(jobs), "D"), f"died at call {at}, {after=}"
    assert deaths == 2 * min(30, 6 * len(jobs) + 1)


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("gone_for", [timedelta(minutes=1), HOURS], ids=["a minute", "hours"])
def test_what_was_handed_over_never_comes_back_over_something_newer(
    shop: Shop, real_client: redis.Redis, gone_for: timedelta, delivered: bool
) -> None:
    """Past the caller's own order: somebody else changed the message while the relay was dead."""
    for at, after in [(at, after) for at in range(3, 7) for after in (False, True)]:
        if (at, after) == (3, False):
            continue  # it died before it noted anything: the row is only late, as any row may be
        shop.messages.forget("order:1")
        forget_jobs(real_client, shop)
        shop.messages.submit([shown(1, "before")])
        shop.add(Update("order:1", "old"))
        assert die(shop, at, after) == at
        shop.messages.update("order:1", text="newer")
        if delivered:
            deliver(real_client, shop)
        shop.now += gone_for
        if gone_for == HOURS:
            forget_jobs(real_client, shop)
        revision = shop.message().revision
        shop.work()
        assert (shop.waiting(), shop.refused(), shop.message().revision) == (0, {}, revision), f"{at=} {after=}"
        if not delivered:
            assert shop.message().text == "newer"


@pytest.mark.parametrize("name", ["get_all", "hand_over", "submit", "settle", "release"])
def test_a_relay_that_was_frozen_beyond_its_lease_changes_nothing_when_it_goes_on(shop: Shop, name: str) -> None:
    """Another one took its row over, and handed over the next one too."""
    shop.add(shown(1, "A"), Update("order:1", "B"))

    class Frozen:
        """Store and ledger of a relay that stands still right before one of its calls."""

        def __getattr__(self, asked: str) -> Any:
            does = next(getattr(part, asked) for part in (shop.store, shop.messages) if hasattr(part, asked))

            def late(*arguments: Any) -> Any:
                if asked == name:
                    shop.now += timedelta(seconds=31)
                    shop.work()
                    assert shop.message().text == "B"
                return does(*arguments)

            return late

    shop.relay(Frozen(), Frozen()).step()
    assert (shop.message().text, shop.message().revision) == ("B", 2)
    assert (shop.waiting(), shop.refused(), shop.messages.stats()["jobs"]) == (0, {}, 2)


def test_a_newer_version_is_not_taken_for_overtaken(shop: Shop, real_client: redis.Redis) -> None:
    shop.messages.submit([shown(1, "v1", version=1)])
    shop.add(Update("order:1", "v3", version=3))
    die(shop, 4, after=False)  # noted, and never submitted
    shop.messages.update("order:1", text="v2", version=2)
    shop.now += HOURS
    forget_jobs(real_client, shop)
    shop.work()
    assert (shop.message().text, shop.message().version) == ("v3", 3)


def test_when_nobody_can_tell_a_person_is_asked(shop: Shop, real_client: redis.Redis) -> None:
    shop.messages.submit([shown(1, "A")])
    shop.add(Update("order:1", "B"))
    die(shop, 4, after=True)
    shop.messages.forget("order:1")
    forget_jobs(real_client, shop)
    shop.now += HOURS
    shop.work()
    assert shop.messages.get("order:1") is None
    assert "nobody can tell whether it was recorded" in shop.refused()["order:1"]


def test_what_is_refused_stays_visible_and_blocks_nothing(shop: Shop) -> None:
    shop.add(Update("order:1", "B"), shown(2, "A"), shown(1, "C"), Create("order:2", "v", "other", group_id="g"))
    shop.work()
    assert (shop.message("order:1").text, shop.message("order:2").text) == ("C", "A")
    assert shop.refused() == {
        "order:1": "local_id: no live message has this id; create or upsert it first ('order:1')",
        "order:2": "local_id: a live message with other content has this id; use update or upsert ('order:2')",
    }
    shop.store.retry([row.id for row in shop.store.refused(1)])
    shop.work()
    assert shop.message("order:1").text == "B", "a person may have it sent all the same"


def test_a_row_that_cannot_be_read_is_refused_alone(shop: Shop) -> None:
    shop.add(shown(1), shown(2))
    with shop.engine.begin() as connection:
        table = metadata.tables["pushledger_outbox"]
        connection.execute(update(table).where(table.c.local_id == "order:1").values(verb="shout"))
    shop.work()
    assert shop.refused() == {"order:1": "verb: must be one of create, delete, update, upsert"}
    assert shop.message("order:2").state == "queued"


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ('{"text', "job: must be JSON"),
        ("[]", "job: must be a JSON object"),
        ("null", "job: must be a JSON object"),
        ("9" * 5000, "job: must be JSON"),
        ("[" * 100_000, "job: must be JSON"),
        ('{"\\ud800\\u0000": 1}', "\\ud800"),
    ],
    ids=["cut off", "list", "null", "digits", "deep", "surrogate"],
)
def test_a_job_that_is_none_is_refused_alone(shop: Shop, job: str, said: str) -> None:
    """Written by other hands, or cut off: no relay may break of it, nor keep the others waiting."""
    shop.add(shown(1), shown(2))
    with shop.engine.begin() as connection:
        table = metadata.tables["pushledger_outbox"]
        connection.execute(update(table).where(table.c.local_id == "order:1").values(job=job))
    shop.work()
    assert said in shop.refused()["order:1"]
    assert shop.message("order:2").state == "queued"


def test_a_full_backlog_lets_rows_wait(shop: Shop, valkey_url: str) -> None:
    settings = Settings(redis_url=valkey_url, account=shop.messages.settings.account, max_backlog=1)
    shop.add(shown(1), shown(2))
    with Messages(settings) as messages:
        relay = shop.relay(messages=messages)
        assert relay.step().outcomes == {"queued": 1, "backlog_full": 1}
        assert relay.step().taken == 0, "it is not asked again at once"
        assert (shop.waiting(), shop.refused()) == (1, {})
    shop.now += timedelta(seconds=10)
    shop.work()
    assert shop.waiting() == 0
    assert shop.message("order:2").state == "queued"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_while_the_ledger_is_away_rows_wait_and_the_relay_goes_on(
    shop: Shop, caplog: pytest.LogCaptureFixture, wait_until: Callable[..., None]
) -> None:
    away = Messages(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", account=shop.messages.settings.account))
    shop.add(shown(1))
    stop, relay = threading.Event(), shop.relay(messages=away)
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    wait_until(lambda: caplog.text.count("the ledger's Redis did not do it") >= 2, 20, "it has tried twice")
    stop.set()
    thread.join(10)
    away.close()
    assert not thread.is_alive()
    assert "waits 0.5 s" in caplog.text
    assert "waits 1.0 s" in caplog.text
    shop.work()
    assert shop.message().revision == 1


def test_a_database_that_is_away_is_waited_for(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()

    class Away:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def fails(*arguments: Any) -> Any:
                if len(caplog.records) >= 2:
                    stop.set()
                raise StoreUnavailable("the database is away")

            return fails

    shop.relay(Away()).run(stop)
    assert "waits 0.5 s: the database is away" in caplog.text


def test_a_relay_that_stood_still_for_its_lease_hands_nothing_over(shop: Shop) -> None:
    shop.add(shown(1))
    ticks = iter([0.0, 16.0])
    settings = OutboxSettings(outbox_lease=timedelta(seconds=30))
    step = Relay(shop.store, shop.messages, settings, lambda: shop.now, lambda: next(ticks)).step()
    assert (step.taken, step.done) == (1, [])
    assert shop.messages.get("order:1") is None
    shop.work()
    assert shop.message().revision == 1


def test_refused_rows_are_kept_as_long_as_was_set(shop: Shop) -> None:
    shop.add(Update("order:1", "B"))
    shop.work()
    for age, left in ((timedelta(days=89), 1), (timedelta(days=2), 0)):
        shop.now += age
        stop = threading.Event()

        class Ends:
            """The store, until it is asked for rows."""

            def __getattr__(self, name: str) -> Any:
                if name == "take":
                    stop.set()  # noqa: B023
                return getattr(shop.store, name)

        shop.relay(Ends()).run(stop)
        assert len(shop.refused()) == left

"""The outbox on PostgreSQL: the contract through both frameworks, locks, relays that die, a server that restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import django
import pytest
from acceptance.conftest import _servers, stage
from django.conf import settings
from django.db import connections, transaction
from outbox_contract import ALL, LATER, NOW, OpenedStore, StoreContract, changes, shown
from outbox_shop import OutboxShop
from pushledger import Job, Update
from pushledger_outbox import new_row
from pushledger_sqlalchemy import SqlAlchemyStore, add, metadata
from services.postgresql import PostgreSQL, postgresql
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

__all__ = ["_servers", "postgresql", "stage"]


class Oops(Exception):
    """Something in the shop went wrong."""


@pytest.fixture
def engine(postgresql: PostgreSQL) -> Iterator[Engine]:
    engine = create_engine(postgresql.url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    yield engine
    engine.dispose()  # the server may have been restarted
    metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def through_sqlalchemy(engine: Engine) -> OpenedStore:
    def insert(*jobs: Job, account: str = "default") -> None:
        with Session(engine) as session, session.begin():
            add(session, *jobs, account=account)

    def insert_and_roll_back(*jobs: Job) -> None:
        with Session(engine) as session:
            add(session, *jobs)
            session.rollback()

    return OpenedStore(SqlAlchemyStore(engine, "default"), insert, insert_and_roll_back)


class TestSqlAlchemyOnPostgresql(StoreContract):
    """The contract."""

    @pytest.fixture
    def opened(self, through_sqlalchemy: OpenedStore) -> OpenedStore:
        return through_sqlalchemy


@pytest.fixture(scope="session")
def django_on_postgresql(postgresql: PostgreSQL) -> None:
    url = make_url(postgresql.url)
    place = {"NAME": url.database, "USER": url.username, "HOST": url.query["host"]}
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **place}},
        INSTALLED_APPS=["pushledger_django"],
        USE_TZ=True,
    )
    django.setup()


class TestDjangoOnPostgresql(StoreContract):
    """The contract, over the table that the migration makes."""

    @pytest.fixture
    def opened(self, django_on_postgresql: None) -> Iterator[OpenedStore]:
        from django.core.management import call_command
        from pushledger_django.models import OutboxRow
        from pushledger_django.store import DjangoStore

        def insert(*jobs: Job, account: str = "default") -> None:
            OutboxRow.objects.bulk_create(OutboxRow(**new_row(job, account)) for job in jobs)

        def insert_and_roll_back(*jobs: Job) -> None:
            with suppress(Oops), transaction.atomic():
                insert(*jobs)
                raise Oops

        call_command("migrate", verbosity=0)
        yield OpenedStore(DjangoStore("default"), insert, insert_and_roll_back, connections.close_all)
        call_command("migrate", "pushledger_django", "zero", verbosity=0)
        connections.close_all()


def test_a_relay_steps_over_what_another_one_is_about_to_take(engine: Engine, through_sqlalchemy: OpenedStore) -> None:
    through_sqlalchemy.insert(*changes(1, 2))
    with engine.begin() as other:
        other.execute(text("SET LOCAL lock_timeout = '1s'"))
        other.execute(text("SELECT id FROM pushledger_outbox WHERE local_id = 'order:1' FOR UPDATE"))
        assert through_sqlalchemy.locals_of("one") == ["order:2"], "without waiting for the lock"
    assert through_sqlalchemy.locals_of("two") == ["order:1"]


def test_a_row_that_is_committed_late_is_not_overlooked(engine: Engine, through_sqlalchemy: OpenedStore) -> None:
    """Ids are given before the commit: a higher one may be seen first."""
    store = through_sqlalchemy.store
    with Session(engine) as slow, slow.begin():
        add(slow, shown(1, "slow"))
        through_sqlalchemy.insert(shown(2), Update("order:1", "quick"))
        rows = store.take("one", NOW, LATER, ALL)
        assert [row.local_id for row in rows] == ["order:2", "order:1"]
        store.settle("one", [row.id for row in rows], {}, NOW)
    (late,) = store.take("two", NOW, LATER, ALL)
    assert (late.local_id, late.verb) == ("order:1", "upsert")


@pytest.fixture
def shop(stage: Stage, engine: Engine) -> Iterator[OutboxShop]:
    shop = OutboxShop(stage, engine.url.render_as_string(hide_password=False))
    yield shop
    stage.stack.close()
    shop.engine.dispose()


def test_two_relays_lose_nothing_double_nothing_and_keep_the_order(shop: OutboxShop, wait_until: WaitUntil) -> None:
    shop.let_two_relays_work(wait_until)


def test_relays_that_are_killed_again_and_again_record_each_job_once(shop: OutboxShop, wait_until: WaitUntil) -> None:
    shop.let_relays_die(wait_until)


def test_a_relay_lives_through_a_restart_of_the_database(
    stage: Stage, shop: OutboxShop, postgresql: PostgreSQL, wait_until: WaitUntil
) -> None:
    shop.commit(shown(1, "before"))
    relay = shop.relay()
    wait_until(shop.is_done, 30, "the first row is handed over")
    postgresql.stop()
    try:
        wait_until(lambda: "waits 1.0 s: the outbox's database did not do it" in relay.text(), 30, "the relay waits")
    finally:
        postgresql.start()
    shop.engine.dispose()
    shop.commit(Update("order:1", "after"))
    wait_until(shop.is_done, 30, "the second row is handed over")
    assert stage.message("order:1").text == "after"
    relay.terminate()
    assert relay.ends(10) == 0

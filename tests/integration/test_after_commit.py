"""Jobs that are submitted after the commit of a SQLAlchemy session, and what becomes of them when it is rolled back."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from outbox_contract import shown
from pushledger import AsyncMessages, Job, Messages, PushledgerError, Settings, Update
from pushledger_sqlalchemy import AfterCommit, AsyncAfterCommit
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session


class Oops(Exception):
    """Something in the shop went wrong."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    yield engine
    engine.dispose()


@pytest.fixture
def settings(valkey_url: str, account: str) -> Settings:
    return Settings(redis_url=valkey_url, account=account)


@pytest.fixture
def messages(settings: Settings) -> Iterator[Messages]:
    with Messages(settings) as messages:
        yield messages


@pytest.fixture
def away() -> Settings:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return Settings(redis_url=f"redis://127.0.0.1:{probe.getsockname()[1]}/0")


def known(messages: Messages, *numbers: int) -> list[bool]:
    return [one is not None for one in messages.get_all([f"order:{number}" for number in numbers])]


def test_jobs_go_out_after_the_commit_and_not_before(engine: Engine, messages: Messages) -> None:
    after_commit = AfterCommit(messages)
    with Session(engine) as session:
        after_commit.add(session, shown(1, "A"), Update("order:1", "B"))
        session.execute(text("SELECT 1"))
        assert known(messages, 1) == [False]
        session.commit()
        found = messages.get("order:1")
        assert found is not None
        assert (found.text, found.revision) == ("B", 2)
        session.execute(text("SELECT 1"))
        session.commit()
        assert messages.stats()["jobs"] == 2, "once"
        after_commit.add(session, shown(2))
        session.commit()
    assert known(messages, 2) == [True], "a session goes on after a commit"


@pytest.mark.parametrize("end", ["rollback", "close", "raise"])
def test_what_is_rolled_back_is_not_submitted_even_by_a_later_commit(
    engine: Engine, messages: Messages, end: str
) -> None:
    after_commit = AfterCommit(messages)
    with Session(engine) as session:
        if end == "raise":
            with suppress(Oops), session.begin():
                after_commit.add(session, shown(1))
                raise Oops
        else:
            after_commit.add(session, shown(1))
            getattr(session, end)()
        after_commit.add(session, shown(2))
        session.commit()
    assert known(messages, 1, 2) == [False, True]


def test_jobs_of_a_savepoint_share_its_fate(engine: Engine, messages: Messages) -> None:
    after_commit = AfterCommit(messages)
    with Session(engine) as session, session.begin():
        after_commit.add(session, shown(1))
        with session.begin_nested():
            after_commit.add(session, shown(2))
        with suppress(Oops), session.begin_nested():
            after_commit.add(session, shown(3))
            with session.begin_nested():
                after_commit.add(session, shown(4))
            raise Oops
        with session.begin_nested():
            with suppress(Oops), session.begin_nested():
                after_commit.add(session, shown(5))
                raise Oops
            after_commit.add(session, shown(6))
        assert known(messages, 2) == [False], "a savepoint that is released is not committed yet"
    assert known(messages, 1, 2, 3, 4, 5, 6) == [True, True, False, False, False, True]


def test_a_released_savepoint_goes_down_with_its_transaction(engine: Engine, messages: Messages) -> None:
    after_commit = AfterCommit(messages)
    with suppress(Oops), Session(engine) as session, session.begin():
        with session.begin_nested():
            after_commit.add(session, shown(1))
        raise Oops
    assert known(messages, 1) == [False]


def test_a_ledger_that_is_away_does_not_undo_the_commit_and_is_told(
    engine: Engine, away: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[tuple[Job, PushledgerError]] = []
    with Messages(away) as messages, Session(engine) as session:
        after_commit = AfterCommit(messages, lambda job, error: lost.append((job, error)))
        session.execute(text("CREATE TABLE orders (id INTEGER)"))
        after_commit.add(session, shown(1, "a text"), shown(2))
        session.commit()
        session.execute(text("SELECT id FROM orders"))
    assert [job.local_id for job, _ in lost] == ["order:1", "order:2"]
    assert all(job.job_id for job, _ in lost), "whoever submits it again submits the same job"
    assert "the upsert of order:1 is not recorded" in caplog.text
    assert "a text" not in caplog.text


def test_a_refusal_is_told_and_the_others_are_recorded(
    engine: Engine, messages: Messages, caplog: pytest.LogCaptureFixture
) -> None:
    with Session(engine) as session:
        AfterCommit(messages).add(session, Update("order:1", "B"), shown(2))
        session.commit()
    assert known(messages, 1, 2) == [False, True]
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "the update of order:1 is not recorded: local_id: no live message" in record.getMessage()


def test_a_session_of_asyncio_awaits_the_ledger(
    tmp_path: Path, settings: Settings, messages: Messages, away: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def shop() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        async with AsyncMessages(settings) as ledger, AsyncMessages(away) as nobody, AsyncSession(engine) as session:
            after_commit = AsyncAfterCommit(ledger)
            after_commit.add(session, shown(1))
            await session.commit()
            after_commit.add(session, shown(2))
            async with session.begin_nested():
                after_commit.add(session, shown(3))
            await session.rollback()
            with suppress(Oops):
                async with session.begin():
                    with suppress(Oops):
                        async with session.begin_nested():
                            after_commit.add(session, shown(4))
                            raise Oops
                    after_commit.add(session, shown(5))
            AsyncAfterCommit(nobody).add(session, shown(6))
            await session.commit()
        await engine.dispose()

    asyncio.run(shop())
    assert known(messages, 1, 2, 3, 4, 5, 6) == [True, False, False, False, True, False]
    assert "the upsert of order:6 is not recorded" in caplog.text

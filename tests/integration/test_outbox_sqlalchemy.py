"""The outbox through SQLAlchemy, on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from outbox_contract import OpenedStore, StoreContract, changes
from pushledger import Job
from pushledger_outbox import StoreUnavailable
from pushledger_sqlalchemy import SqlAlchemyStore, add, add_async, metadata
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    yield engine
    engine.dispose()


@pytest.fixture
def opened(engine: Engine) -> OpenedStore:
    metadata.create_all(engine)

    def insert(*jobs: Job, account: str = "default") -> None:
        with Session(engine) as session, session.begin():
            add(session, *jobs, account=account)

    def insert_and_roll_back(*jobs: Job) -> None:
        with Session(engine) as session:
            add(session, *jobs)
            session.rollback()

    return OpenedStore(SqlAlchemyStore(engine, "default"), insert, insert_and_roll_back)


class TestSqlAlchemyOnSqlite(StoreContract):
    """The contract."""


def test_the_statements_that_are_printed_make_the_table(engine: Engine) -> None:
    store = SqlAlchemyStore(engine, "default")
    with engine.begin() as connection:
        for statement in store.ddl().split(";\n"):
            connection.execute(text(statement))
        add(connection, *changes(1))
    assert store.standing().waiting == 1


def test_a_table_that_is_missing_is_said_with_the_way_out_and_no_text(engine: Engine) -> None:
    with pytest.raises(StoreUnavailable, match=r"pushledger outbox ddl.*no such table: pushledger_outbox") as raised:
        SqlAlchemyStore(engine, "default").standing()
    assert raised.value.__suppress_context__


def test_a_session_of_asyncio_adds_rows_too(tmp_path: Path, opened: OpenedStore) -> None:
    async def shop() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        async with AsyncSession(engine) as session:
            await add_async(session, *changes(1))
            await session.commit()
            await add_async(session, *changes(2))
            await session.rollback()
        await engine.dispose()

    asyncio.run(shop())
    assert opened.locals_of("one") == ["order:1"]

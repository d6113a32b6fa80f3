"""The outbox's table, and how jobs come into it: in the transaction that changes the shop's own data.

    from pushledger_sqlalchemy import add

    with Session(engine) as session, session.begin():
        order.status = "shipped"
        add(session, Upsert(f"order:{order.id}", visitor_id=…, text="Shipped", agent_id=…))

For migrations, give ``metadata`` to your tool beside your own (for Alembic, ``target_metadata`` is a list of both), or
run what ``pushledger outbox ddl`` prints.
"""

from __future__ import annotations

from pushledger.jobs import Job
from pushledger_outbox.rows import TABLE, new_row
from sqlalchemy import BigInteger, Column, Connection, Index, Integer, MetaData, String, Table, Text, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

__all__ = ["OUTBOX", "add", "add_async", "metadata"]

metadata = MetaData()

# SQLite would give the id of the last row again once it is deleted, without AUTOINCREMENT.
OUTBOX = Table(
    TABLE,
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("account", String(64), nullable=False),
    Column("local_id", String(512), nullable=False),
    Column("job_id", String(512), nullable=False),
    Column("verb", String(8), nullable=False),
    Column("job", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("free_at", BigInteger, nullable=False),
    Column("taken_by", String(32), nullable=False),
    Column("revision", BigInteger),
    Column("handed_at", BigInteger),
    Column("refused_at", BigInteger),
    Column("error", Text, nullable=False),
    Index("pushledger_outbox_order", "account", "local_id", "id"),
    Index("pushledger_outbox_oldest", "account", "id"),
    sqlite_autoincrement=True,
)


def add(session: Session | Connection, *jobs: Job, account: str = "default") -> None:
    """Insert jobs, in their order, in the transaction that is under way: they are committed with it, or not at all."""
    if jobs:
        session.execute(insert(OUTBOX), [new_row(job, account) for job in jobs])


async def add_async(session: AsyncSession | AsyncConnection, *jobs: Job, account: str = "default") -> None:
    """Insert jobs, as ``add`` does."""
    if jobs:
        await session.execute(insert(OUTBOX), [new_row(job, account) for job in jobs])

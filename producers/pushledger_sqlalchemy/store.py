"""The outbox's rows through SQLAlchemy's core, for the relay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from pushledger.errors import SettingsError
from pushledger_outbox.rows import Row
from pushledger_outbox.settings import OutboxSettings
from pushledger_outbox.store import Standing, Store, StoreUnavailable
from sqlalchemy import Connection, Engine, Select, create_engine, delete, func, select, update
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from pushledger_sqlalchemy.outbox import OUTBOX

__all__ = ["SqlAlchemyStore", "open_outbox"]

_T = OUTBOX.c
_Found: TypeAlias = "Select[int, str, str, str, str, int, int | None, int | None, str]"
_COLUMNS = (_T.id, _T.local_id, _T.job_id, _T.verb, _T.job, _T.added_at, _T.revision, _T.handed_at, _T.error)


class SqlAlchemyStore:
    """The rows of one account; see Store."""

    def __init__(self, engine: Engine, account: str) -> None:
        self._engine, self._account = engine, account

    def take(self, token: str, now: int, until: int, limit: int) -> list[Row]:
        """See Store.take."""
        with self._transaction() as connection:
            # Several relays look at once: on PostgreSQL they step over each other's rows. Where there are no such
            # locks the second condition on what is free decides who has a row.
            ids = connection.scalars(self._heads(now, limit)).all()
            if not ids:
                return []
            taken = update(OUTBOX).where(_T.id.in_(ids), _T.free_at <= now, _T.refused_at.is_(None))
            connection.execute(taken.values(taken_by=token, free_at=until))
            return _rows(connection, select(*_COLUMNS).where(_T.taken_by == token, _T.id.in_(ids)))

    def _heads(self, now: int, limit: int) -> Select[int]:
        # Not "none is older": PostgreSQL makes a join of the whole table of that, however few rows are wanted.
        other = OUTBOX.alias()
        waits = (other.c.account == _T.account) & (other.c.local_id == _T.local_id) & other.c.refused_at.is_(None)
        oldest = select(func.min(other.c.id)).where(waits).scalar_subquery()
        free = select(_T.id).where(_T.account == self._account, _T.refused_at.is_(None), _T.free_at <= now)
        return free.where(_T.id == oldest).order_by(_T.id).limit(limit).with_for_update(of=OUTBOX, skip_locked=True)

    def hand_over(self, token: str, revisions: Mapping[int, int], now: int) -> set[int]:
        """See Store.hand_over."""
        by_revision = defaultdict[int, list[int]](list)
        for id_, revision in revisions.items():
            by_revision[revision].append(id_)
        with self._transaction() as connection:
            for revision, ids in by_revision.items():
                own = update(OUTBOX).where(_T.id.in_(ids), _T.taken_by == token)
                connection.execute(own.values(revision=revision, handed_at=now))
            held = select(_T.id).where(_T.id.in_(list(revisions)), _T.taken_by == token)
            return set(connection.scalars(held))

    def settle(self, token: str, done: Sequence[int], refused: Mapping[int, str], now: int) -> None:
        """See Store.settle."""
        if not done and not refused:
            return
        with self._transaction() as connection:
            connection.execute(delete(OUTBOX).where(_T.id.in_(done)))
            for id_, error in refused.items():
                own = update(OUTBOX).where(_T.id == id_, _T.taken_by == token)
                connection.execute(own.values(refused_at=now, error=error, taken_by=""))

    def release(self, token: str, free_at: int) -> None:
        """See Store.release."""
        with self._transaction() as connection:
            own = update(OUTBOX).where(_T.account == self._account, _T.taken_by == token)
            connection.execute(own.values(taken_by="", free_at=free_at))

    def standing(self) -> Standing:
        """See Store.standing."""
        waits, own = _T.refused_at.is_(None), _T.account == self._account
        with self._transaction() as connection:
            waiting, oldest = connection.execute(select(func.count(), func.min(_T.added_at)).where(own, waits)).one()
            refused = connection.scalar(select(func.count()).where(own, ~waits))
        return Standing(waiting, oldest, refused or 0)

    def refused(self, limit: int) -> list[Row]:
        """See Store.refused."""
        found = select(*_COLUMNS).where(_T.account == self._account, _T.refused_at.is_not(None)).limit(limit)
        with self._transaction() as connection:
            return _rows(connection, found)

    def retry(self, ids: Sequence[int]) -> int:
        """See Store.retry."""
        again = update(OUTBOX).where(_T.account == self._account, _T.id.in_(ids), _T.refused_at.is_not(None))
        with self._transaction() as connection:
            fresh = again.values(refused_at=None, error="", free_at=0, revision=None, handed_at=None)
            return connection.execute(fresh).rowcount

    def drop(self, ids: Sequence[int]) -> int:
        """See Store.drop."""
        gone = delete(OUTBOX).where(_T.account == self._account, _T.id.in_(ids), _T.refused_at.is_not(None))
        with self._transaction() as connection:
            return connection.execute(gone).rowcount

    def prune(self, refused_before: int) -> int:
        """See Store.prune."""
        old = delete(OUTBOX).where(_T.account == self._account, _T.refused_at < refused_before)
        with self._transaction() as connection:
            return connection.execute(old).rowcount

    def ddl(self) -> str:
        """See Store.ddl."""
        made: list[CreateTable | CreateIndex] = [CreateTable(OUTBOX), *map(CreateIndex, OUTBOX.indexes)]
        lines = "\n".join(f"{str(one.compile(dialect=self._engine.dialect)).strip()};" for one in made)
        return "\n".join(line.rstrip() for line in lines.splitlines())

    def close(self) -> None:
        """See Store.close."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreUnavailable(_sentence(error)) from None


def _rows(connection: Connection, found: _Found) -> list[Row]:
    return [Row(*one) for one in connection.execute(found.order_by(_T.id))]


def _sentence(error: SQLAlchemyError) -> str:
    # What the driver says is told; the statement's values, which may be texts, are hidden by the engine.
    said = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
    return f"the outbox's database did not do it (is its table there? `pushledger outbox ddl` prints it): {said}"


def open_outbox() -> tuple[OutboxSettings, Store]:
    """The outbox whose database PUSHLEDGER_OUTBOX_URL names."""
    settings = OutboxSettings()
    try:
        engine = create_engine(settings.outbox_url.get_secret_value(), hide_parameters=True, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        rule = "must be a URL of SQLAlchemy whose driver is installed, like postgresql+psycopg://user@host/shop"
        raise SettingsError(f"PUSHLEDGER_OUTBOX_URL: {rule} ({type(error).__name__})") from None
    return settings, SqlAlchemyStore(engine, settings.account)

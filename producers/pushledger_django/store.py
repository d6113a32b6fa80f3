"""The outbox's rows through Django's ORM, for the relay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import django
from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections, router, transaction
from django.db.models import Min, OuterRef, QuerySet, Subquery
from pushledger.errors import SettingsError
from pushledger_outbox.rows import Row
from pushledger_outbox.settings import OutboxSettings
from pushledger_outbox.store import Standing, Store, StoreUnavailable

from pushledger_django.settings import pushledger_settings

if TYPE_CHECKING:
    from pushledger_django.models import OutboxRow

__all__ = ["DjangoStore", "open_outbox"]


class DjangoStore:
    """The rows of one account; see Store."""

    def __init__(self, account: str) -> None:
        # Models can be imported only once all apps are there; this module is imported before.
        from pushledger_django.models import OutboxRow

        self._model, self._account = OutboxRow, account
        self._using = router.db_for_write(OutboxRow)

    @property
    def _rows(self) -> QuerySet[OutboxRow]:
        return self._model.objects.using(self._using).filter(account=self._account)

    def take(self, token: str, now: int, until: int, limit: int) -> list[Row]:
        """See Store.take."""
        # Several relays look at once: on PostgreSQL they step over each other's rows. Where there are no such locks,
        # as on SQLite, a transaction that reads first could not write any more after another's write; there the second
        # condition on what is free decides who has a row.
        locks = connections[self._using].features.has_select_for_update_skip_locked
        with self._errors(), transaction.atomic(self._using) if locks else nullcontext():
            heads = self._heads(now)
            ids = list(
                (heads.select_for_update(skip_locked=True) if locks else heads).values_list("id", flat=True)[:limit]
            )
            free = self._rows.filter(id__in=ids, free_at__lte=now, refused_at=None)
            if not ids or not free.update(taken_by=token, free_at=until):
                return []
            return _read(self._rows.filter(taken_by=token, id__in=ids))

    def _heads(self, now: int) -> QuerySet[OutboxRow]:
        # Not "none is older": PostgreSQL makes a join of the whole table of that, however few rows are wanted.
        waiting = self._rows.filter(local_id=OuterRef("local_id"), refused_at=None)
        oldest = waiting.order_by().values("local_id").annotate(oldest=Min("id")).values("oldest")
        return self._rows.filter(id=Subquery(oldest), refused_at=None, free_at__lte=now).order_by("id")

    def hand_over(self, token: str, revisions: Mapping[int, int], now: int) -> set[int]:
        """See Store.hand_over."""
        by_revision = defaultdict[int, list[int]](list)
        for id_, revision in revisions.items():
            by_revision[revision].append(id_)
        with self._transaction():
            for revision, ids in by_revision.items():
                self._rows.filter(id__in=ids, taken_by=token).update(revision=revision, handed_at=now)
            return set(self._rows.filter(id__in=list(revisions), taken_by=token).values_list("id", flat=True))

    def settle(self, token: str, done: Sequence[int], refused: Mapping[int, str], now: int) -> None:
        """See Store.settle."""
        with self._transaction():
            self._rows.filter(id__in=list(done)).delete()
            for id_, error in refused.items():
                self._rows.filter(id=id_, taken_by=token).update(refused_at=now, error=error, taken_by="")

    def release(self, token: str, free_at: int) -> None:
        """See Store.release."""
        with self._transaction():
            self._rows.filter(taken_by=token).update(taken_by="", free_at=free_at)

    def standing(self) -> Standing:
        """See Store.standing."""
        with self._transaction():
            waiting = self._rows.filter(refused_at=None)
            oldest = waiting.aggregate(oldest=Min("added_at"))["oldest"]
            return Standing(waiting.count(), oldest, self._refused().count())

    def refused(self, limit: int) -> list[Row]:
        """See Store.refused."""
        with self._transaction():
            return _read(self._refused())[:limit]

    def _refused(self) -> QuerySet[OutboxRow]:
        return self._rows.exclude(refused_at=None)

    def retry(self, ids: Sequence[int]) -> int:
        """See Store.retry."""
        with self._transaction():
            again = self._refused().filter(id__in=list(ids))
            return again.update(refused_at=None, error="", free_at=0, revision=None, handed_at=None)

    def drop(self, ids: Sequence[int]) -> int:
        """See Store.drop."""
        with self._transaction():
            return self._refused().filter(id__in=list(ids)).delete()[0]

    def prune(self, refused_before: int) -> int:
        """See Store.prune."""
        with self._transaction():
            return self._rows.filter(refused_at__lt=refused_before).delete()[0]

    def ddl(self) -> str:
        """See Store.ddl."""
        with self._errors(), connections[self._using].schema_editor(collect_sql=True) as editor:
            editor.create_model(self._model)
        return "\n".join(editor.collected_sql)

    def close(self) -> None:
        """See Store.close."""
        connections.close_all()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), transaction.atomic(self._using):
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, InterfaceError) as error:
            # A connection that broke is not mended by itself; the next try begins with a fresh one.
            connections[self._using].close()
            said = str(error).strip().partition("\n")[0]
            way_out = "is its table there? `manage.py migrate` makes it"
            raise StoreUnavailable(f"the outbox's database did not do it ({way_out}): {said}") from None


def _read(rows: QuerySet[OutboxRow]) -> list[Row]:
    names = ("id", "local_id", "job_id", "verb", "job", "added_at", "revision", "handed_at", "error")
    return [Row(*one) for one in rows.order_by("id").values_list(*names)]


def open_outbox() -> tuple[OutboxSettings, Store]:
    """The outbox of the Django project at hand."""
    if not apps.ready:
        django.setup()
    if not apps.is_installed("pushledger_django"):
        raise SettingsError("INSTALLED_APPS: must hold 'pushledger_django'")
    settings = pushledger_settings()
    return settings, DjangoStore(settings.account)

"""Jobs that are submitted once the session's transaction is committed, and not at all if it is rolled back.

    after_commit = AfterCommit(Messages.from_env())

    with Session(engine) as session, session.begin():
        order.status = "shipped"
        after_commit.add(session, Update(f"order:{order.id}", text="Shipped"))

Jobs that were added under a savepoint share its fate. The data is committed already when the ledger is asked, so that
its failure must not look like a failure of the commit: it is logged as an error, and told to ``on_lost``. A process
that dies between the two loses the jobs without a word. Who must not lose any uses the outbox.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pushledger import AsyncMessages, Job, LedgerUnavailable, Messages, PushledgerError, Receipt, RefusedJob
from pushledger_outbox.rows import identified
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

__all__ = ["AfterCommit", "AsyncAfterCommit", "OnLost"]

log = logging.getLogger(__name__)

OnLost: TypeAlias = Callable[[Job, PushledgerError], None]


class _Waiting:
    """The jobs of one session: each under the transaction or savepoint in which it was added, or committed."""

    def __init__(self, session: Session, submit: Callable[[Sequence[Job]], None]) -> None:
        self._submit = submit
        self._added: list[tuple[SessionTransaction, Job]] = []
        self._committed: list[Job] = []
        event.listen(session, "after_commit", self._after_commit)
        event.listen(session, "after_transaction_end", self._after_end)

    def add(self, session: Session, jobs: Sequence[Job]) -> None:
        current = session.get_nested_transaction() or session.get_transaction() or session.begin()
        self._added += [(current, identified(job)) for job in jobs]

    def _after_commit(self, session: Session) -> None:
        savepoint = session.get_nested_transaction()
        if savepoint is None:
            self._committed += [job for _, job in self._added]
            self._added = []
        elif savepoint.parent is not None:
            parent = savepoint.parent
            self._added = [(parent if owner is savepoint else owner, job) for owner, job in self._added]

    def _after_end(self, session: Session, transaction: SessionTransaction) -> None:
        # What still belongs to a transaction that ends was not committed.
        self._added = [(owner, job) for owner, job in self._added if owner is not transaction]
        if transaction.parent is None and self._committed:
            # By now the database's connection is given back: nobody waits for it while the ledger is asked.
            jobs, self._committed = self._committed, []
            self._submit(jobs)


def _waiting(session: Session, owner: object, submit: Callable[[Sequence[Job]], None]) -> _Waiting:
    found = session.info.get(owner)
    if not isinstance(found, _Waiting):
        found = session.info[owner] = _Waiting(session, submit)
    return found


def _tell(jobs: Sequence[Job], answers: Sequence[Receipt | RefusedJob], on_lost: OnLost | None) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if isinstance(answer, RefusedJob):
            _lost(job, answer, on_lost)


def _lost(job: Job, error: PushledgerError, on_lost: OnLost | None) -> None:
    log.error(
        "the data is committed, but the %s of %s is not recorded: %s", job.verb, job.local_id, error,
        extra={"action": "enqueue_lost", "local_id": job.local_id},
    )  # fmt: skip
    if on_lost is not None:
        on_lost(job, error)


class AfterCommit:
    """Submits jobs after the commit. Thread-safe; make one and keep it."""

    def __init__(self, messages: Messages, on_lost: OnLost | None = None) -> None:
        self._messages, self._on_lost = messages, on_lost

    def add(self, session: Session, *jobs: Job) -> None:
        """Let these jobs be submitted when the session's transaction is committed."""
        _waiting(session, self, self._submit).add(session, jobs)

    def _submit(self, jobs: Sequence[Job]) -> None:
        try:
            _tell(jobs, self._messages.submit(jobs), self._on_lost)
        except LedgerUnavailable as error:
            for job in jobs:
                _lost(job, error, self._on_lost)


class AsyncAfterCommit:
    """The same for sessions of asyncio: the ledger is awaited, inside the session's own ``await``."""

    def __init__(self, messages: AsyncMessages, on_lost: OnLost | None = None) -> None:
        self._messages, self._on_lost = messages, on_lost

    def add(self, session: AsyncSession, *jobs: Job) -> None:
        """Let these jobs be submitted when the session's transaction is committed."""
        _waiting(session.sync_session, self, self._submit).add(session.sync_session, jobs)

    def _submit(self, jobs: Sequence[Job]) -> None:
        # Events run inside the greenlet that SQLAlchemy awaits its driver from.
        try:
            _tell(jobs, await_only(self._messages.submit(jobs)), self._on_lost)
        except LedgerUnavailable as error:
            for job in jobs:
                _lost(job, error, self._on_lost)

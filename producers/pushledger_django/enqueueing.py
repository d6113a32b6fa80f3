"""How a project asks for messages: with its transaction, or right after it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

from django.core.signals import setting_changed
from django.db import router, transaction
from django.dispatch import Signal
from pushledger import Job, LedgerUnavailable, Messages, PushledgerError, RefusedJob
from pushledger_outbox.rows import identified, new_row

from pushledger_django.settings import pushledger_settings

__all__ = ["enqueue", "job_lost", "messages"]

log = logging.getLogger(__name__)

# Sent with `job` and `error` when a job could not be recorded after its commit (never with the outbox).
job_lost = Signal()


@functools.cache
def messages() -> Messages:
    """The project's messages, one for the whole process; threads and forks may share it."""
    return Messages(pushledger_settings())


def enqueue(*jobs: Job, using: str | None = None) -> None:
    """Ask for jobs in the transaction that is under way; if it is rolled back, they were never asked for.

    With ``ENQUEUE`` set to ``outbox`` they are rows of the same transaction, and a relay hands them to the ledger: what
    is committed reaches it. By default they go out right after the commit: if Redis is away then, or the process dies,
    they are lost. That is logged as an error and told by the signal ``job_lost``, and does not look like a failure of
    the commit, which has happened.
    """
    named = [identified(job) for job in jobs]
    if pushledger_settings().enqueue == "outbox":
        _add(named, using)
    else:
        transaction.on_commit(functools.partial(_submit, named), using=using, robust=True)


def _add(jobs: Sequence[Job], using: str | None) -> None:
    # Models can be imported only once all apps are there; this module is imported by the app itself.
    from pushledger_django.models import OutboxRow

    account = pushledger_settings().account
    rows = [OutboxRow(**new_row(job, account)) for job in jobs]
    OutboxRow.objects.using(using or router.db_for_write(OutboxRow)).bulk_create(rows)


def _submit(jobs: Sequence[Job]) -> None:
    try:
        answers = messages().submit(jobs)
    except LedgerUnavailable as error:
        for job in jobs:
            _lost(job, error)
        return
    for job, answer in zip(jobs, answers, strict=True):
        if isinstance(answer, RefusedJob):
            _lost(job, answer)


def _lost(job: Job, error: PushledgerError) -> None:
    log.error(
        "the data is committed, but the %s of %s is not recorded: %s", job.verb, job.local_id, error,
        extra={"action": "enqueue_lost", "local_id": job.local_id},
    )  # fmt: skip
    job_lost.send_robust(sender=enqueue, job=job, error=error)


def _close(*, setting: str, **details: object) -> None:
    if setting == "PUSHLEDGER" and messages.cache_info().currsize:
        messages().close()
        messages.cache_clear()


setting_changed.connect(_close)

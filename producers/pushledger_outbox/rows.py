"""The rows of the outbox: a job as the shop's database keeps it until the ledger has it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypedDict

from pushledger.errors import InvalidJob
from pushledger.jobs import Job, job_from_json, job_to_json

__all__ = ["TABLE", "NewRow", "Row", "identified", "milliseconds", "new_row"]

TABLE = "pushledger_outbox"


class NewRow(TypedDict):
    """What is inserted for a job, by the names of the columns."""

    account: str
    local_id: str
    job_id: str
    verb: str
    job: str
    added_at: int
    free_at: int
    taken_by: str
    error: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands. Its job holds a text and a visitor, and is not shown by ``repr``.

    Times are milliseconds since the epoch. ``revision`` is the message's revision just before the job was last handed
    to the ledger, at ``handed_at``; both None: it never was. A row with an ``error`` is refused.
    """

    id: int
    local_id: str
    job_id: str
    verb: str
    job: str = field(repr=False)
    added_at: int
    revision: int | None
    handed_at: int | None
    error: str = ""

    def to_job(self) -> Job:
        """The job, with the id that it got when it was inserted. Raises InvalidJob."""
        try:
            values = json.loads(self.job)
        except (ValueError, RecursionError):
            raise InvalidJob("job", "must be JSON; was it written by other hands, or cut off?") from None
        if not isinstance(values, dict):
            raise InvalidJob("job", "must be a JSON object")
        return job_from_json(self.verb, values)


def milliseconds(at: datetime) -> int:
    """A time as the rows keep it."""
    return round(at.timestamp() * 1000)


def identified(job: Job) -> Job:
    """The job with an id of its own, so that whoever submits it again submits the same one."""
    return job if job.job_id else replace(job, job_id=secrets.token_hex(16))


def new_row(job: Job, account: str, now: datetime | None = None) -> NewRow:
    """What is inserted for a job; it gets its id here, once and for all. Raises InvalidJob."""
    named = identified(job)
    for field_name in ("local_id", "job_id"):
        if "\0" in getattr(named, field_name):
            raise InvalidJob(field_name, "must hold no NUL in an outbox, as not every database can keep one")
    return NewRow(
        account=account,
        local_id=named.local_id,
        job_id=str(named.job_id),
        verb=named.verb,
        job=json.dumps(job_to_json(named)),
        added_at=milliseconds(now or datetime.now(UTC)),
        free_at=0,
        taken_by="",
        error="",
    )

"""Whether a row may be handed over again, and how long a relay waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pushledger import InvalidJob, Job, Message, SettingsError, Update, Upsert
from pushledger.jobs import job_from_json, job_to_json
from pushledger_outbox import OutboxSettings, Row, Standing, new_row
from pushledger_outbox.checks import read_standing
from pushledger_outbox.decisions import Decision, decide, wait_after

WEEK, HOUR, MINUTE = timedelta(days=7), timedelta(hours=1), timedelta(minutes=1)


def row(revision: int | None) -> Row:
    handed_at = None if revision is None else 1
    return Row(1, "order:1", "job", "update", "{}", added_at=0, revision=revision, handed_at=handed_at)


def message(revision: int, version: int | None = None) -> Message:
    given: dict[str, Any] = dict.fromkeys(Message.__slots__)
    given |= {"local_id": "order:1", "state": "delivered", "revision": revision, "version": version}
    return Message(**given)


@pytest.mark.parametrize(
    ("revision", "version", "known", "age", "decision"),
    [
        # Never handed over: whatever the ledger holds, it goes.
        (None, None, None, 99 * WEEK, "submit"),
        (None, 1, message(9, 9), HOUR, "submit"),
        # Nothing was accepted since.
        (0, None, None, HOUR, "submit"),
        (3, None, message(3), HOUR, "submit"),
        (3, 7, message(3, 7), HOUR, "submit"),
        # Something was: this job, or a newer one.
        (0, None, message(1), MINUTE, "settled"),
        (3, None, message(4), HOUR, "settled"),
        (3, None, message(9), HOUR, "settled"),
        # With versions the newer one is not the later one.
        (3, 7, message(4, 7), HOUR, "settled"),
        (3, 7, message(4, 8), HOUR, "settled"),
        (3, 7, message(4, 6), HOUR, "submit"),
        (3, 7, message(4, None), HOUR, "submit"),
        (3, 0, message(4, None), HOUR, "submit"),
        (3, 0, message(4, 0), HOUR, "settled"),
        (3, datetime(2027, 1, 1, tzinfo=UTC), message(4, 1_798_761_600_000_000), HOUR, "settled"),
        (3, datetime(2027, 1, 1, tzinfo=UTC), message(4, 1_798_761_599_999_999), HOUR, "submit"),
        # Forgotten, while the ledger still knows the job's id; and after that.
        (3, None, None, MINUTE, "submit"),
        (3, None, None, 15 * MINUTE, "unsure"),
        (0, None, None, WEEK, "unsure"),
        (3, None, message(3), WEEK, "unsure"),
    ],
)
def test_a_row_is_handed_over_again_only_if_nothing_was_accepted_since(
    revision: int | None, version: int | datetime | None, known: Message | None, age: timedelta, decision: Decision
) -> None:
    job = Update("order:1", "B", version=version)
    assert decide(row(revision), job, known, age, remembered=WEEK) == decision


def test_a_ledger_that_remembers_nothing_still_remembers_jobs() -> None:
    job = Update("order:1", "B")
    assert decide(row(0), job, None, MINUTE, remembered=timedelta(0)) == "submit"
    assert decide(row(0), job, None, HOUR, remembered=timedelta(0)) == "unsure"
    assert decide(row(3), job, message(3), MINUTE, remembered=timedelta(0)) == "submit"


@pytest.mark.parametrize(
    ("standing", "outcome", "said"),
    [
        (Standing(0, None, 0), "ok", "0 rows wait"),
        (Standing(2, 60_000, 0), "ok", "2 rows wait, the oldest for 0:04:00"),
        (Standing(0, None, 3), "warning", "0 rows wait, 3 were refused: "),
        (Standing(2, 0, 3), "failed", "2 rows wait, the oldest for 0:05:00: does a relay run?"),
    ],
)
def test_rows_that_wait_too_long_or_were_refused_are_trouble(standing: Standing, outcome: str, said: str) -> None:
    found = read_standing(standing, datetime.fromtimestamp(300.001, UTC))
    assert (found.outcome, found.sentence[: len(said)]) == (outcome, said)


def test_waits_grow_to_half_a_minute() -> None:
    waits = [wait_after(failures).total_seconds() for failures in range(1, 30)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits == sorted(waits)
    assert waits[-1] == 30.0


JOBS: list[Job] = [
    Update("order:1", "B"),
    Upsert(
        *("order:1", "v", "A"),
        agent_id="a",
        version=datetime(2027, 1, 1, tzinfo=UTC),
        not_before=datetime(2027, 1, 2, tzinfo=UTC),
        expires_at=datetime(2027, 1, 3, tzinfo=UTC),
        priority="high",
        max_resends=0,
        job_id="j",
    ),
    Upsert("order:1", "v", "A", kind="agent", agent_email="a@b.c", agent_name="A", received_from="shop"),
]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_survives_the_way_through_json(job: Job) -> None:
    assert job_from_json(job.verb, dict(job_to_json(job))) == job


def test_a_job_gets_its_id_once() -> None:
    made, given = new_row(Update("order:1", "B"), "default"), new_row(Update("order:1", "B", job_id="mine"), "default")
    assert (len(made["job_id"]), given["job_id"]) == (32, "mine")
    assert made["job_id"] in made["job"]


def test_what_a_database_cannot_keep_is_refused_when_it_is_added() -> None:
    with pytest.raises(InvalidJob, match="local_id: must hold no NUL"):
        new_row(Update("order\0:1", "B"), "default")


def test_the_address_of_the_database_is_not_shown() -> None:
    settings = OutboxSettings(outbox_url="postgresql+psycopg://shop:secret@db/shop")
    assert "secret" not in repr(settings)


def test_a_lease_may_not_outlast_what_the_ledger_remembers() -> None:
    with pytest.raises(SettingsError, match=r"PUSHLEDGER_OUTBOX_LEASE: .*2 minutes"):
        OutboxSettings(outbox_lease="10m")

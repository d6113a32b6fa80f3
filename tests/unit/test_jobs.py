"""The rules of a job, each with the field it names."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from pushledger.errors import InvalidJob
from pushledger.jobs import Create, Delete, Update, Upsert, job_from_json, version_number

CREATE: dict[str, Any] = {"local_id": "order:1", "visitor_id": "v", "text": "Hello", "agent_id": "a"}
FIELDS: dict[str, dict[str, Any]] = {
    "create": CREATE,
    "upsert": CREATE,
    "update": {"local_id": "order:1", "text": "Hello"},
    "delete": {"local_id": "order:1"},
}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class NoOffset(tzinfo):
    """A time zone that does not know its offset makes no aware time."""

    def __repr__(self) -> str:
        return "NoOffset()"

    def utcoffset(self, moment: datetime | None) -> None:
        return None

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "nowhere"


BAD_IDS = [
    "",
    " \t\n",
    "x" * 513,
    "ü" * 257,  # 514 bytes
    "\ud800",
    5,
    b"order:1",
]
BAD_OPTIONS = [
    *(("job_id", value) for value in BAD_IDS),
    ("priority", "urgent"),
    ("priority", "HIGH"),
    ("priority", None),
    ("priority", {}),
    ("not_before", datetime(2026, 1, 31)),  # noqa: DTZ001  # that it has no time zone is the point
    ("not_before", datetime(2026, 1, 31, tzinfo=NoOffset())),
    ("not_before", 1_700_000_000),
    ("not_before", datetime(1969, 12, 31, tzinfo=UTC)),
    ("not_before", datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=1)))),  # still 1969 in UTC
    ("not_before", datetime.max.replace(tzinfo=UTC)),  # could not be read back in every time zone
    ("expires_at", datetime(2026, 1, 31)),  # noqa: DTZ001
    ("expires_at", "tomorrow"),
    ("expires_at", datetime.max.replace(tzinfo=UTC)),
    ("version", -1),
    ("version", 2**53),
    ("version", 1.5),
    ("version", True),
    ("version", datetime(2026, 1, 31)),  # noqa: DTZ001
    ("version", datetime(2256, 1, 1, tzinfo=UTC)),  # beyond 2^53 microseconds, which Lua would round
    ("max_resends", -1),
    ("max_resends", 11),
    ("max_resends", True),
    ("max_resends", "1"),
]


@pytest.mark.parametrize(("field", "value"), BAD_OPTIONS, ids=repr)
@pytest.mark.parametrize("verb", FIELDS)
def test_bad_options_are_refused_with_their_field(verb: str, field: str, value: object) -> None:
    with pytest.raises(InvalidJob) as caught:
        job_from_json(verb, {**FIELDS[verb], field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("value", [*BAD_IDS, None], ids=repr)
@pytest.mark.parametrize("verb", FIELDS)
def test_a_local_id_is_text_of_1_to_512_bytes(verb: str, value: object) -> None:
    with pytest.raises(InvalidJob) as caught:
        job_from_json(verb, {**FIELDS[verb], "local_id": value})
    assert caught.value.field == "local_id"


@pytest.mark.parametrize("value", ["", " \n", "x" * 65_537, "\udcff", None, 5], ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("verb", ["create", "upsert", "update"])
def test_a_text_is_not_blank_and_not_too_long(verb: str, value: object) -> None:
    with pytest.raises(InvalidJob) as caught:
        job_from_json(verb, {**FIELDS[verb], "text": value})
    assert caught.value.field == "text"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"visitor_id": ""}, "visitor_id"),
        ({"visitor_id": None}, "visitor_id"),
        ({"agent_id": None}, "agent_id"),  # neither
        ({"group_id": "g"}, "agent_id"),  # both
        ({"agent_id": ""}, "agent_id"),
        ({"agent_id": None, "group_id": " "}, "group_id"),
        ({"kind": "visitor"}, "kind"),
        ({"kind": None}, "kind"),
        ({"received_from": "shop"}, "received_from"),  # a pushed message takes no marker
    ],
    ids=repr,
)
@pytest.mark.parametrize("verb", ["create", "upsert"])
def test_a_whole_message_names_its_visitor_and_one_sender(verb: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        job_from_json(verb, {**FIELDS[verb], **change})
    assert caught.value.field == field


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=-1)])
def test_a_job_does_not_expire_before_it_may_be_sent(later: timedelta) -> None:
    with pytest.raises(InvalidJob, match="expires_at: must be later than not_before"):
        Delete("order:1", not_before=NOON, expires_at=NOON + later)


@pytest.mark.parametrize(
    "option",
    [
        {"job_id": "x" * 512},
        {"priority": "low"},
        {"not_before": datetime(1970, 1, 1, tzinfo=UTC)},
        {"not_before": NOON, "expires_at": NOON + timedelta(microseconds=1)},
        {"version": 0},
        {"version": 2**53 - 1},
        {"version": NOON},
        {"max_resends": 0},
        {"max_resends": 10},
        {"version": None, "job_id": None, "max_resends": None},
    ],
    ids=repr,
)
@pytest.mark.parametrize("verb", FIELDS)
def test_what_is_within_the_limits_is_accepted(verb: str, option: dict[str, Any]) -> None:
    job = job_from_json(verb, {**FIELDS[verb], **option})
    assert {name: getattr(job, name) for name in option} == option


@pytest.mark.parametrize(
    ("verb", "kind"), [("create", Create), ("update", Update), ("upsert", Upsert), ("delete", Delete)]
)
def test_json_gives_the_job_of_its_verb(verb: str, kind: type) -> None:
    job = job_from_json(verb, FIELDS[verb])
    assert type(job) is kind
    assert job.verb == verb
    assert job == kind(**FIELDS[verb])


@pytest.mark.parametrize(
    ("verb", "values", "field"),
    [
        ("remove", {}, "verb"),
        ("create", {}, "local_id"),
        ("create", {"local_id": "x"}, "visitor_id"),
        ("create", {"local_id": "x", "visitor_id": "v"}, "text"),
        ("update", {"local_id": "x"}, "text"),
        ("update", {"local_id": "x", "text": "t", "visitor_id": "v"}, "visitor_id"),
        ("delete", {"local_id": "x", "text": "t"}, "text"),
        ("delete", {"local_id": "x", "verb": "create"}, "verb"),
        ("delete", {"local_id": "x", "version": "seven"}, "version"),
        ("delete", {"local_id": "x", "not_before": "2026-01-31T12:00:00"}, "not_before"),
    ],
    ids=repr,
)
def test_json_that_does_not_fit_names_the_field(verb: str, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        job_from_json(verb, values)
    assert caught.value.field == field


@pytest.mark.parametrize("written", ["2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00Z", "2026-01-31 13:00+01:00"])
def test_json_times_are_iso_8601(written: str) -> None:
    assert job_from_json("delete", {"local_id": "x", "version": written}).version == NOON


def test_the_same_target_gives_the_same_text_whatever_the_message_says() -> None:
    one = Create("order:1", "v", "Hello", agent_id="a", version=1)
    two = Upsert("order:2", "v", "Bye", agent_id="a")
    assert one.target() == two.target()
    assert json.loads(one.target()) == {"visitorId": "v", "agentId": "a"}
    assert json.loads(Create("order:1", "v", "Hello", group_id="g").target()) == {"visitorId": "v", "groupId": "g"}


@pytest.mark.parametrize(
    ("version", "number"),
    [
        (None, ""),
        (0, "0"),
        (2**53 - 1, "9007199254740991"),
        (datetime(1970, 1, 1, tzinfo=UTC), "0"),
        (datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC), "1769860800000001"),  # a float would lose the last digit
        (datetime(2026, 1, 31, 13, 0, 0, 1, tzinfo=timezone(timedelta(hours=1))), "1769860800000001"),
    ],
)
def test_a_version_is_compared_as_a_whole_number(version: int | datetime | None, number: str) -> None:
    assert version_number(version) == number


def test_an_invalid_job_says_field_and_rule_also_after_a_trip_between_processes() -> None:
    error = pickle.loads(pickle.dumps(InvalidJob("text", "must be text")))
    assert (error.field, error.rule, str(error)) == ("text", "must be text", "text: must be text")
    assert isinstance(error, ValueError)

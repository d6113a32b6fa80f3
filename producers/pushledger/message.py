"""What the ledger answers: receipts, messages and their timelines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

__all__ = ["STATES", "LastError", "Message", "Outcome", "Receipt", "State", "TimelineEvent", "Wait"]

Outcome: TypeAlias = Literal["queued", "folded", "unchanged", "stale", "cancelled"]
State: TypeAlias = Literal["queued", "sending", "retrying", "delivered", "deleted", "held", "failed", "expired"]
STATES: tuple[State, ...] = (
    "queued",
    "sending",
    "retrying",
    "delivered",
    "deleted",
    "held",
    "failed",
    "expired",
)


_ENTRY = re.compile(r"1 (pushed|agent) \d{1,15} (-|\d{1,16}) \S+ \S+ \S.*", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an accepted job.

    ``queued``: it waits to be sent. ``folded``: it took the place of a change that was still waiting.
    ``unchanged``: the visitor sees just this already. ``stale``: a newer version is recorded.
    ``cancelled``: a delete of something never sent; no call is needed.
    """

    local_id: str
    revision: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LastError:
    """What went wrong last: in which phase of the call, with which answer if there was one."""

    phase: str
    status: int | None = None
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One thing that happened to a message. Holds no text and no visitor."""

    at: datetime
    event: str
    detail: str


@dataclass(frozen=True, slots=True)
class Wait:
    """One reason why a message is not shown yet, and until when; None: until something else happens.

    ``in_the_air``: a call is under way. ``paused``, ``budget``: of the account. ``not_before``: the shop's wish.
    ``backoff``: after a failed attempt. ``settling``: after an unknown outcome. ``folding``: quick changes are
    gathered. ``lane``: an earlier message of the visitor goes first. ``person``: somebody has to decide.
    """

    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    """What the ledger knows of one local id at this moment.

    ``text`` and ``visitor_id`` are None once the record has shrunk after delivery (setting RETENTION).
    ``maybe_doubled`` says that a visitor may see it more than once: a create without known outcome was sent again, or
    may be visible besides the known copy or one of an earlier life.
    """

    local_id: str
    state: State
    reason: str | None
    kind: str
    revision: int
    version: int | None
    message_id: str | None
    wish: Literal["show", "gone"]
    text: str | None
    visitor_id: str | None
    priority: str
    attempts: int
    resends: int
    maybe_doubled: bool
    last_error: LastError | None
    next_attempt_at: datetime | None
    accepted_at: datetime | None
    since: datetime | None
    waits: tuple[Wait, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The message as JSON values; times are ISO 8601 in UTC."""
        values: dict[str, object] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, datetime):
                value = value.isoformat()
            elif isinstance(value, LastError):
                value = {part: getattr(value, part) for part in value.__slots__}
            elif name == "waits":
                value = [wait_to_json(wait) for wait in self.waits]
            values[name] = value
        return values


def wait_to_json(wait: Wait) -> dict[str, str | None]:
    """A reason for waiting as JSON values."""
    return {"reason": wait.reason, "until": wait.until.isoformat() if wait.until else None}


def message_from_record(local_id: str, record: Mapping[str, str]) -> Message:
    """Read a message's hash, as docs/record.md lays it out."""
    target = json.loads(record["target"]) if record.get("target") else {}
    state: State = record["state"]  # type: ignore[assignment]  # written by our own scripts
    return Message(
        local_id=local_id,
        state=state,
        reason=record.get("reason") or None,
        kind=record.get("kind") or "pushed",
        revision=int(record["revision"]),
        version=int(record["version"]) if record.get("version") else None,
        message_id=record.get("message_id") or None,
        wish="gone" if record.get("wish") == "gone" else "show",
        text=record.get("text") or None,
        visitor_id=target.get("visitorId"),
        priority=record.get("priority") or "normal",
        attempts=int(record.get("attempts") or 0),
        resends=int(record.get("resent") or 0),
        maybe_doubled=_copies_at_most(record) > 1,
        last_error=error_from_json(record.get("error")),
        next_attempt_at=moment(record.get("due")),
        accepted_at=moment(record.get("accepted_at")),
        since=moment(record.get("since")),
        waits=_waits(record),
    )


def _copies_at_most(record: Mapping[str, str]) -> int:
    """How many copies a visitor may see: the known one, one for each create without known outcome, one in the air."""
    unknown = len(record.get("unknown", "").split()) + len(record.get("unknown_before", "").split())
    return unknown + bool(record.get("message_id")) + (record.get("call") == "send")


def _waits(record: Mapping[str, str]) -> tuple[Wait, ...]:
    """Why the message waits, as far as its own record says; reasons whose time is over are left in."""
    if record["state"] == "held":
        return (Wait("person", None),)
    if record["state"] == "sending":
        return (Wait("in_the_air", moment(record.get("lease"))),)
    if record["state"] not in ("queued", "retrying"):
        return ()
    named = {"not_before": "not_before", "retry_at": "backoff", "quiet_until": "settling"}
    waits = [Wait(reason, moment(record[field])) for field, reason in named.items() if record.get(field)]
    if record.get("reason") == "lane":
        waits.append(Wait("lane", None))
    elif _is_held_back(record) and not any(wait.until == moment(record["due"]) for wait in waits):
        waits.append(Wait("folding", moment(record["due"])))
    return tuple(waits)


def _is_held_back(record: Mapping[str, str]) -> bool:
    return int(record.get("due") or 0) > int(record.get("accepted_at") or 0)


def message_from_entry(local_id: str, entry: str) -> Message:
    """Read an entry of the map: a delivered message whose record has shrunk."""
    _, kind, revision, version, _, _, message_id = entry.split(" ", 6)
    record = {"state": "delivered", "kind": kind, "revision": revision, "message_id": message_id}
    if version != "-":
        record["version"] = version
    return message_from_record(local_id, record)


def is_entry(entry: str) -> bool:
    """Whether a text can stand in the map."""
    return _ENTRY.fullmatch(entry) is not None


def without_digests(entry: str) -> str:
    """An entry that says neither which text nor which target its message has."""
    v, kind, revision, version, _, _, message_id = entry.split(" ", 6)
    return " ".join((v, kind, revision, version, "-", "-", message_id))


def timeline_event(line: str) -> TimelineEvent:
    """Read one line of a timeline: milliseconds, event, and the rest as detail."""
    at, _, rest = line.partition(" ")
    event, _, detail = rest.partition(" ")
    return TimelineEvent(at=datetime.fromtimestamp(int(at) / 1000, UTC), event=event, detail=detail)


def error_from_json(text: str | None) -> LastError | None:
    """Read the error that a worker wrote beside an attempt."""
    if not text:
        return None
    values = json.loads(text)
    return LastError(
        phase=values["phase"],
        status=values.get("status"),
        code=values.get("code"),
        detail=values.get("detail"),
    )


def error_to_json(error: LastError) -> str:
    """Write an error for the ledger, which keeps it as it is."""
    values = {name: getattr(error, name) for name in error.__slots__ if getattr(error, name) is not None}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def moment(text: str | None) -> datetime | None:
    """A time of the ledger, in milliseconds, as an aware datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text)) if text else None

"""Jobs: the changes a shop asks for, checked at the door."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeAlias

from pushledger.errors import InvalidJob
from pushledger.targets import Kind, Sender, check_id, check_kind, check_sender, length, target_json

__all__ = [
    "Adoption",
    "Create",
    "Delete",
    "Job",
    "Kind",
    "Priority",
    "Update",
    "Upsert",
    "Verb",
    "job_from_json",
    "job_to_json",
]

Priority: TypeAlias = Literal["high", "normal", "low"]
Verb: TypeAlias = Literal["create", "update", "upsert", "delete"]

MAX_TEXT_BYTES = 65_536
MAX_RESENDS = 10
MAX_VERSION = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Later times cannot be read back in every time zone; a year is room for all of them.
_END = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    job_id: str | None = None
    priority: Priority = "normal"
    not_before: datetime | None = None
    expires_at: datetime | None = None
    version: int | datetime | None = None
    max_resends: int | None = None

    def _check_options(self) -> None:
        if self.job_id is not None:
            check_id("job_id", self.job_id)
        if self.priority not in ("high", "normal", "low"):
            raise InvalidJob("priority", "must be 'high', 'normal' or 'low'")
        check_time("not_before", self.not_before)
        check_time("expires_at", self.expires_at)
        if self.not_before and self.expires_at and self.expires_at <= self.not_before:
            raise InvalidJob("expires_at", "must be later than not_before")
        _check_version(self.version)
        if self.max_resends is not None and not _is_int_within(self.max_resends, 0, MAX_RESENDS):
            raise InvalidJob("max_resends", f"must be a whole number from 0 to {MAX_RESENDS}")


@dataclass(frozen=True, slots=True)
class _Showing(_Options):
    """What create and upsert share: a whole message, with the target it goes to."""

    local_id: str
    visitor_id: str
    text: str
    agent_id: str | None = None
    group_id: str | None = None
    kind: Kind = "pushed"
    agent_email: str | None = None
    agent_name: str | None = None
    received_from: str | None = None

    def __post_init__(self) -> None:
        check_id("local_id", self.local_id)
        check_id("visitor_id", self.visitor_id)
        _check_text(self.text)
        check_sender(self.kind, self._sender())
        self._check_options()

    def _sender(self) -> Sender:
        return Sender(self.agent_id, self.group_id, self.agent_email, self.agent_name, self.received_from)

    def target(self) -> str:
        """Where the message goes, as the JSON fields of the API's body; the same target gives the same text."""
        return target_json(self.visitor_id, self._sender())


@dataclass(frozen=True, slots=True)
class Create(_Showing):
    """Show a message that is not there yet."""

    verb: ClassVar[Verb] = "create"


@dataclass(frozen=True, slots=True)
class Upsert(_Showing):
    """Show this text: create the message, or update it if it is there."""

    verb: ClassVar[Verb] = "upsert"


@dataclass(frozen=True, slots=True)
class Update(_Options):
    """Give a message another text."""

    local_id: str
    text: str
    verb: ClassVar[Verb] = "update"

    def __post_init__(self) -> None:
        check_id("local_id", self.local_id)
        _check_text(self.text)
        self._check_options()


@dataclass(frozen=True, slots=True)
class Delete(_Options):
    """Take a message away."""

    local_id: str
    verb: ClassVar[Verb] = "delete"

    def __post_init__(self) -> None:
        check_id("local_id", self.local_id)
        self._check_options()


@dataclass(frozen=True, slots=True)
class Adoption:
    """A message of the API that exists already, and what is known of it; None stands for what is not.

    Raises InvalidJob when it cannot be taken in like that.
    """

    local_id: str
    message_id: str
    kind: Kind = "pushed"
    visitor_id: str | None = None
    text: str | None = None
    version: int | datetime | None = None
    agent_id: str | None = None
    group_id: str | None = None
    agent_email: str | None = None
    agent_name: str | None = None
    received_from: str | None = None

    def __post_init__(self) -> None:
        check_local_id(self.local_id)
        check_message_id(self.message_id)
        check_kind(self.kind)
        if self.visitor_id is not None:
            check_id("visitor_id", self.visitor_id)
        if self._sender() != Sender():
            check_sender(self.kind, self._sender())
            if self.visitor_id is None:
                raise InvalidJob("visitor_id", "must be given with whoever sent the message")
        if self.text is not None:
            _check_text(self.text)
        _check_version(self.version)

    def _sender(self) -> Sender:
        return Sender(self.agent_id, self.group_id, self.agent_email, self.agent_name, self.received_from)

    def target(self) -> str:
        """Where the message went, '' if that is not wholly known; see Create.target."""
        return target_json(self.visitor_id, self._sender()) if self.visitor_id and self._sender() != Sender() else ""


Job: TypeAlias = Create | Update | Upsert | Delete
_VERBS: dict[str, type[Create] | type[Update] | type[Upsert] | type[Delete]] = {
    "create": Create,
    "update": Update,
    "upsert": Upsert,
    "delete": Delete,
}
_TIMES = ("not_before", "expires_at", "version")


def job_from_json(verb: str, values: dict[str, Any]) -> Job:
    """Build a job from JSON values, as they come from a Celery message or a command line.

    Times are ISO 8601 with an offset. Raises InvalidJob for an unknown verb, field or value.
    """
    if verb not in _VERBS:
        raise InvalidJob("verb", f"must be one of {', '.join(sorted(_VERBS))}")
    known = {field.name for field in fields(_VERBS[verb])}
    for name in values:
        if name not in known:
            raise InvalidJob(name, f"{verb} has no such field; it has {', '.join(sorted(known))}")
    parsed: dict[str, Any] = {n: parsed_time(n, value) if n in _TIMES else value for n, value in values.items()}
    try:
        return _VERBS[verb](**parsed)
    except TypeError as error:
        missing = [name for name in ("local_id", "visitor_id", "text") if name in known and name not in values]
        if missing:
            raise InvalidJob(missing[0], f"{verb} needs it") from error
        raise


def job_to_json(job: Job) -> dict[str, str | int]:
    """The job's values as JSON has them, without those that were not given; ``job_from_json`` reads them back."""
    given = ((field, getattr(job, field.name)) for field in fields(job))
    return {
        field.name: value.isoformat() if isinstance(value, datetime) else value
        for field, value in given
        if value != field.default
    }


def check_local_id(value: str) -> None:
    """Raise InvalidJob unless it can name a message."""
    check_id("local_id", value)


def check_message_id(value: str) -> None:
    """Raise InvalidJob unless it can name a message at the API, as one segment of a path."""
    check_id("message_id", value)
    if value in (".", "..") or not value.isprintable():
        raise InvalidJob("message_id", "must be an id of the API: printable, and more than dots")


def version_number(version: int | datetime | None) -> str:
    """A version as the whole number that is compared: itself, or microseconds since the epoch."""
    if version is None:
        return ""
    if isinstance(version, datetime):
        since = version - _EPOCH
        return str((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    return str(version)


def parsed_time(name: str, value: object) -> object:
    """Read a time of ISO 8601; what is no text stays as it is. Raises InvalidJob."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidJob(name, "must be a time like 2026-01-31T12:00:00+00:00") from error


def _check_text(value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidJob("text", "must be text that is not blank")
    if length("text", value) > MAX_TEXT_BYTES:
        raise InvalidJob("text", f"must be at most {MAX_TEXT_BYTES} bytes")


def check_time(field: str, value: object) -> None:
    """Raise InvalidJob unless it is a time that the ledger can keep, or None."""
    if value is None:
        return
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidJob(field, "must be a datetime with a time zone")
    if not _EPOCH <= value < _END:
        raise InvalidJob(field, "must be a time from 1970 to 9998; leave it out for never")


def _check_version(value: object) -> None:
    if isinstance(value, datetime):
        check_time("version", value)
        if int(version_number(value)) >= MAX_VERSION:
            raise InvalidJob("version", "must be a time before the year 2255, as it is compared in microseconds")
    elif value is not None and not _is_int_within(value, 0, MAX_VERSION - 1):
        raise InvalidJob("version", "must be a whole number from 0 to 2^53 - 1, or a datetime with a time zone")


def _is_int_within(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

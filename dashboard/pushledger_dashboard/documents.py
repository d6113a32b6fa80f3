"""What the JSON API takes and answers, as it stands in the OpenAPI description."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pushledger.jobs import Kind, Priority
from pushledger.ledger import Account, AuditEntry, BulkAction, BulkStep, Sample, waiting_for
from pushledger.message import Message, Outcome, State, TimelineEvent, Wait
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StrictStr

__all__ = [
    "AdoptBody",
    "AuditDocument",
    "BulkBody",
    "BulkDocument",
    "BulkState",
    "CreateBody",
    "DecisionBody",
    "DecisionDocument",
    "DeleteBody",
    "JobsBody",
    "MessageDocument",
    "PauseBody",
    "ReceiptDocument",
    "ResolveBody",
    "SampleDocument",
    "TimelineDocument",
    "UpdateBody",
    "WaitDocument",
    "WhyBody",
]

LocalId: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=512, description="The shop's name for it.")]
Why: TypeAlias = Annotated[StrictStr, Field(max_length=500, description="The reason, for the audit trail.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


# ---------------------------------------------------------------- jobs


class _JobBody(_Body):
    local_id: LocalId
    job_id: StrictStr | None = Field(None, description="Names this very job: again within 15 minutes it is harmless.")
    priority: Priority = "normal"
    not_before: StrictStr | None = Field(None, description="ISO 8601 with an offset.")
    expires_at: StrictStr | None = Field(None, description="ISO 8601 with an offset.")
    version: StrictInt | StrictStr | None = Field(None, description="The shop's counter, or an ISO 8601 time.")
    max_resends: StrictInt | None = None


class UpdateBody(_JobBody):
    """Give a message another text."""

    text: StrictStr


class CreateBody(UpdateBody):
    """Show a message; in whose name depends on its kind, as docs/jobs.md says."""

    visitor_id: StrictStr
    agent_id: StrictStr | None = None
    group_id: StrictStr | None = None
    kind: Kind = "pushed"
    agent_email: StrictStr | None = None
    agent_name: StrictStr | None = None
    received_from: StrictStr | None = None


class DeleteBody(_JobBody):
    """Take a message away."""


class _NamedCreate(CreateBody):
    verb: Literal["create"]


class _NamedUpsert(CreateBody):
    verb: Literal["upsert"]


class _NamedUpdate(UpdateBody):
    verb: Literal["update"]


class _NamedDelete(DeleteBody):
    verb: Literal["delete"]


_NamedJob: TypeAlias = Annotated[_NamedCreate | _NamedUpsert | _NamedUpdate | _NamedDelete, Field(discriminator="verb")]


class JobsBody(_Body):
    """Many jobs, recorded in their order."""

    jobs: list[_NamedJob] = Field(min_length=1, max_length=500)


class ReceiptDocument(BaseModel):
    """What became of an accepted job."""

    local_id: str
    revision: int
    outcome: Outcome


# ---------------------------------------------------------------- decisions


class WhyBody(_Body):
    """Why it is done."""

    why: Why = ""


class DecisionBody(WhyBody):
    """Which message it is about, and why."""

    local_id: LocalId


class ResolveBody(DecisionBody):
    """The API's id of the copy of a held message."""

    message_id: StrictStr


class AdoptBody(ResolveBody):
    """A message that exists already at the API; what is not known is left out."""

    kind: Kind = "pushed"
    visitor_id: StrictStr | None = None
    text: StrictStr | None = None
    agent_id: StrictStr | None = None
    group_id: StrictStr | None = None
    agent_email: StrictStr | None = None
    agent_name: StrictStr | None = None
    received_from: StrictStr | None = None
    version: StrictInt | StrictStr | None = None


class DecisionDocument(BaseModel):
    """The message's state after the decision."""

    local_id: str
    state: State


class PauseBody(WhyBody):
    """Pause the whole account."""

    seconds: float | None = Field(None, ge=0.001, le=315_360_000, description="Left out: until resumed.")
    reason: StrictStr = Field("by hand", max_length=200, description="Shown wherever somebody waits.")


BulkState: TypeAlias = Literal["queued", "retrying", "delivered", "held", "failed", "expired"]


class BulkBody(WhyBody):
    """Do one thing to the messages of a state; one step at a time."""

    action: BulkAction
    state: BulkState
    prefix: StrictStr = Field("", max_length=512, description="Only local ids that begin so.")
    reason: StrictStr = Field("", max_length=64, description="Only those that came to the state for this reason.")
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: int = Field(200, ge=1, le=1000, description="Messages in one step.")
    cursor: str | None = Field(None, max_length=2000)


class BulkDocument(BaseModel):
    """One step. Add up messages, calls and refused; go on with the cursor until there is none."""

    dry_run: bool
    messages: int = Field(description="To how many it was done, or would be.")
    calls: int = Field(description="Calls to the API that this costs.")
    refused: int = Field(description="How many it does not fit.")
    looked_at: int
    left: int = Field(description="Messages of the state that were not looked at yet.")
    cursor: str | None

    @classmethod
    def of(cls, step: BulkStep, dry_run: bool, cursor: str | None) -> BulkDocument:
        """A step as the API tells it."""
        return cls(
            dry_run=dry_run,
            messages=step.messages,
            calls=step.calls,
            refused=step.refused,
            looked_at=step.looked_at,
            left=step.left,
            cursor=cursor,
        )


# ---------------------------------------------------------------- messages


class WaitDocument(BaseModel):
    """One reason for waiting, and until when; null: until something else happens."""

    reason: str
    until: datetime | None

    @classmethod
    def of(cls, wait: Wait) -> WaitDocument:
        """A wait as the API tells it."""
        return cls(reason=wait.reason, until=wait.until)


class LastErrorDocument(BaseModel):
    """What went wrong last."""

    phase: str
    status: int | None
    code: str | None
    detail: str | None


class MessageDocument(BaseModel):
    """What the ledger knows of one message. ``texts_hidden``: who asks may not see text, visitor and error detail."""

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
    texts_hidden: bool
    priority: str
    attempts: int
    resends: int
    maybe_doubled: bool
    last_error: LastErrorDocument | None
    next_attempt_at: datetime | None
    accepted_at: datetime | None
    since: datetime | None
    waits: list[WaitDocument]

    @classmethod
    def of(cls, message: Message, account: Account | None, sees_texts: bool) -> MessageDocument:
        """A message as the API tells it; with an account, all that it waits for."""
        error = message.last_error
        waits = message.waits if account is None else waiting_for(message, account)
        return cls(
            local_id=message.local_id,
            state=message.state,
            reason=message.reason,
            kind=message.kind,
            revision=message.revision,
            version=message.version,
            message_id=message.message_id,
            wish=message.wish,
            text=message.text if sees_texts else None,
            visitor_id=message.visitor_id if sees_texts else None,
            texts_hidden=not sees_texts,
            priority=message.priority,
            attempts=message.attempts,
            resends=message.resends,
            maybe_doubled=message.maybe_doubled,
            # The API's own words may quote the text or the visitor.
            last_error=error
            and LastErrorDocument(
                phase=error.phase,
                status=error.status,
                code=error.code if sees_texts else None,
                detail=error.detail if sees_texts else None,
            ),
            next_attempt_at=message.next_attempt_at,
            accepted_at=message.accepted_at,
            since=message.since,
            waits=[WaitDocument.of(wait) for wait in waits],
        )


class TimelineDocument(BaseModel):
    """One thing that happened to a message."""

    at: datetime
    event: str
    detail: str

    @classmethod
    def of(cls, event: TimelineEvent) -> TimelineDocument:
        """An event as the API tells it."""
        return cls(at=event.at, event=event.event, detail=event.detail)


# ---------------------------------------------------------------- account


class AuditDocument(BaseModel):
    """One thing that somebody did."""

    at: datetime
    action: str
    outcome: str
    by: str
    why: str
    local_id: str | None
    messages: int | None
    details: dict[str, str]

    @classmethod
    def of(cls, entry: AuditEntry) -> AuditDocument:
        """An entry as the API tells it."""
        return cls(
            at=entry.at,
            action=entry.action,
            outcome=entry.outcome,
            by=entry.by,
            why=entry.why,
            local_id=entry.local_id,
            messages=entry.messages,
            details=entry.details,
        )


class SampleDocument(BaseModel):
    """The counters as they stood at a moment, and how many messages waited."""

    at: datetime
    jobs: int
    calls: int
    confirmed: int
    throttled: int
    refused: int
    saved: int = Field(description="Calls that folding, cancelling and knowing better made needless.")
    waiting: int

    @classmethod
    def of(cls, sample: Sample) -> SampleDocument:
        """A sample as the API tells it."""
        return cls(
            at=sample.at,
            jobs=sample.jobs,
            calls=sample.calls,
            confirmed=sample.confirmed,
            throttled=sample.throttled,
            refused=sample.refused,
            saved=sample.folded + sample.unchanged + sample.cancelled,
            waiting=sample.waiting,
        )

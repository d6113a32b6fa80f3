"""One message: its fields in words, why it waits, what happened to it, and what may be done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pushledger.message import State, TimelineEvent

from pushledger_dashboard.documents import LastErrorDocument, MessageDocument, WaitDocument
from pushledger_dashboard.views.times import Moment, moment
from pushledger_dashboard.views.words import ACTIONS, EVENTS, REASONS, STATES, WAITS

__all__ = ["Action", "EventView", "Field", "MessageView", "WaitView", "last_error_in_words", "message_view"]

_PHASES = {
    "unsent": "It was not sent",
    "unknown": "It is not known whether it was done",
    "answered": "The API answered",
}
_WISHES = {"show": "it is shown with its newest text", "gone": "it is gone from the chat"}


@dataclass(frozen=True, slots=True)
class WaitView:
    """One reason for waiting, and until when; None: until something else happens."""

    sentence: str
    until: Moment | None


@dataclass(frozen=True, slots=True)
class EventView:
    """One thing that happened: what, when, and the ledger's own words beside it."""

    at: Moment
    event: str
    sentence: str
    detail: str


@dataclass(frozen=True, slots=True)
class Field:
    """A name and a value, with a time where it is one."""

    name: str
    value: str = ""
    at: Moment | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """Something that may be done, and what comes of it."""

    name: str
    consequence: str


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message's page."""

    local_id: str
    state: State
    meaning: str
    reason: str
    wants: str
    text: str | None
    visitor_id: str | None
    texts_hidden: bool
    maybe_doubled: bool
    error: str
    error_detail: str
    waits: tuple[WaitView, ...]
    fields: tuple[Field, ...]
    timeline: tuple[EventView, ...]
    actions: tuple[Action, ...]
    may_not: str


def message_view(document: MessageDocument, timeline: Iterable[TimelineEvent], now: datetime) -> MessageView:
    """The page of a message. What its reader may not see is left out of the document already."""
    error = document.last_error
    return MessageView(
        local_id=document.local_id,
        state=document.state,
        meaning=STATES[document.state],
        reason=REASONS.get(document.reason or "", document.reason or ""),
        wants=_WISHES[document.wish],
        text=document.text,
        visitor_id=document.visitor_id,
        texts_hidden=document.texts_hidden,
        maybe_doubled=document.maybe_doubled,
        error=last_error_in_words(error),
        error_detail=" ".join(filter(None, [error.code, error.detail])) if error else "",
        waits=tuple(_wait(wait, now) for wait in document.waits),
        fields=_fields(document, now),
        timeline=tuple(
            EventView(moment(one.at, now), one.event, EVENTS.get(one.event, one.event), one.detail) for one in timeline
        ),
        actions=tuple(Action(name, ACTIONS[name]) for name in _actions(document)),
        may_not=_may_not(document),
    )


def _wait(wait: WaitDocument, now: datetime) -> WaitView:
    return WaitView(WAITS.get(wait.reason, wait.reason), moment(wait.until, now) if wait.until else None)


def _fields(document: MessageDocument, now: datetime) -> tuple[Field, ...]:
    def when(name: str, at: datetime | None) -> list[Field]:
        return [Field(name, at=moment(at, now))] if at else []

    return (
        Field("Message id at the API", document.message_id or "not known"),
        Field("Kind", document.kind),
        Field("Revision", f"{document.revision} {'job' if document.revision == 1 else 'jobs'} accepted"),
        Field("Version of the shop", "none" if document.version is None else str(document.version)),
        Field("Priority", document.priority),
        Field("Attempts that did not succeed", str(document.attempts)),
        Field("Sent again without knowing", str(document.resends)),
        *when("Newest job accepted", document.accepted_at),
        *when("In this state since", document.since),
        *when("Tried next", document.next_attempt_at),
    )


def last_error_in_words(error: LastErrorDocument | None) -> str:
    """In which phase the last call went wrong, and with which status."""
    if error is None:
        return ""
    phase = _PHASES.get(error.phase, error.phase)
    return f"{phase} ({error.status})" if error.status else phase


def _actions(document: MessageDocument) -> tuple[str, ...]:
    state, reason = document.state, document.reason
    if state == "held":
        return ("resolve", "discard") if document.wish == "gone" else ("resend", "resolve", "discard")
    if state in ("failed", "expired"):
        return ("discard",) if reason == "gone" else ("retry", "discard")
    return () if state == "deleted" or document.wish == "gone" else ("delete",)


def _may_not(document: MessageDocument) -> str:
    if document.state == "held" and document.wish == "gone":
        return "It shall be gone, so there is nothing to resend."
    if (document.state, document.reason) == ("failed", "gone"):
        return "It cannot be retried: the API does not have it any more. The shop's next create or upsert begins anew."
    return ""

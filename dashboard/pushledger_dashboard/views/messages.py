"""Lists of messages: their rows, their filters, what an empty one means, and where the next page is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pushledger import Message
from pushledger.ledger import SearchBy
from pushledger.message import STATES as ALL_STATES
from pushledger.message import State

from pushledger_dashboard.addresses import address, message_address
from pushledger_dashboard.documents import MessageDocument
from pushledger_dashboard.views.message import last_error_in_words
from pushledger_dashboard.views.times import Moment, moment
from pushledger_dashboard.views.words import REASONS, STATES, WHEN_EMPTY

__all__ = ["ListView", "Question", "Row", "StateTab", "actions_of", "list_view", "state_tabs"]

_EXCERPT = 140
_ONE_CLICK: dict[State, tuple[str, ...]] = {
    "held": ("resend", "discard"),
    "failed": ("retry", "discard"),
    "expired": ("retry", "discard"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a list was asked for; every field stands in its address."""

    state: State | None = None
    priority: str = ""
    reason: str = ""
    q: str = ""
    by: SearchBy = "prefix"

    def takes(self, message: Message) -> bool:
        """Whether what a search has found fits the other fields too."""
        return (
            self.state in (None, message.state)
            and self.priority in ("", message.priority)
            and self.reason in ("", message.reason)
        )

    def href(self, cursor: str | None = None) -> str:
        """The list's address, at a cursor."""
        by = self.by if self.q and self.by != "prefix" else ""
        return address(
            "/messages",
            state=self.state,
            priority=self.priority,
            reason=self.reason,
            q=self.q,
            by=by,
            cursor=cursor,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the state was asked for."""
        return bool(self.priority or self.reason or self.q)


@dataclass(frozen=True, slots=True)
class Row:
    """One message in a list."""

    local_id: str
    href: str
    state: State
    reason: str
    wait: str
    since: Moment | None
    priority: str
    attempts: int
    revision: int
    maybe_doubled: bool
    wish: str
    text: str | None
    visitor_id: str | None
    error: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateTab:
    """A state, how many messages are in it, and where its list is."""

    state: State
    number: int | None
    meaning: str
    href: str


@dataclass(frozen=True, slots=True)
class ListView:
    """A page of a list: its rows, how far it has looked, and where it goes on."""

    rows: tuple[Row, ...]
    empty: str
    progress: str
    next_href: str
    has_actions: bool


def list_view(
    question: Question,
    documents: Iterable[MessageDocument],
    now: datetime,
    *,
    following: str | None,
    looked_at: int,
    of: int,
) -> ListView:
    """A page of a list as it is shown."""
    rows = tuple(_row(document, now) for document in documents)
    return ListView(
        rows=rows,
        empty="" if rows else _empty(question, following is not None),
        progress=f"Looked at {looked_at:,} of {of:,}." if question.is_filtered and of else "",
        next_href=question.href(following) if following else "",
        has_actions=any(row.actions for row in rows),
    )


def _row(document: MessageDocument, now: datetime) -> Row:
    text = document.text
    since = document.since or document.accepted_at
    last = document.waits[-1] if document.waits else None
    return Row(
        local_id=document.local_id,
        href=message_address(document.local_id),
        state=document.state,
        reason=REASONS.get(document.reason or "", document.reason or ""),
        wait=_wait(last.reason, last.until, now) if last and document.state in ("queued", "retrying") else "",
        since=moment(since, now) if since else None,
        priority=document.priority,
        attempts=document.attempts,
        revision=document.revision,
        maybe_doubled=document.maybe_doubled,
        wish=document.wish,
        text=text[:_EXCERPT] + "…" if text and len(text) > _EXCERPT else text,
        visitor_id=document.visitor_id,
        error=last_error_in_words(document.last_error),
        actions=actions_of(document.state, document.reason),
    )


def _wait(reason: str, until: datetime | None, now: datetime) -> str:
    words = reason.replace("_", " ")
    return f"{words}, {moment(until, now).relative}" if until else words


def actions_of(state: State, reason: str | None) -> tuple[str, ...]:
    """What one click may do to a message in this state."""
    if (state, reason) == ("held", "copy_may_remain"):
        return ("discard",)  # it shall be gone, so there is nothing to send
    if (state, reason) == ("failed", "gone"):
        return ("discard",)  # the API does not have it, so there is nothing to try again
    return _ONE_CLICK.get(state, ())


def state_tabs(counts: Mapping[str, int]) -> tuple[StateTab, ...]:
    """All states; how many are delivered is not counted, as that costs an entry each."""
    return tuple(
        StateTab(state, counts.get(state), STATES[state], address("/messages", state=state)) for state in ALL_STATES
    )


def _empty(question: Question, goes_on: bool) -> str:
    if goes_on:
        return "Nothing found so far."
    if question.is_filtered or question.state is None:
        return "Nothing fits what was asked for."
    return WHEN_EMPTY[question.state]

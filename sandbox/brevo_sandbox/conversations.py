"""When a visitor's conversation begins, goes on and ends, as far as webhooks tell of it.

The documentation says of `conversationStarted` that pushed messages do not trigger it. It says nothing about what
triggers the two others; here, as consumers read them, a fragment tells of new messages and a transcript of the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from brevo_sandbox.messages import Message
from brevo_sandbox.store import Store


class EventName(StrEnum):
    """What a webhook can tell of."""

    STARTED = "conversationStarted"
    FRAGMENT = "conversationFragment"
    TRANSCRIPT = "conversationTranscript"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to tell about a visitor's conversation, and the messages to tell it with."""

    name: EventName
    visitor_id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class _Course:
    """Places in a chat: where this conversation begins, and how far a fragment has told of it."""

    begins: int = 0
    told: int = 0
    opening_id: str | None = None


class Conversations:
    """Follows the conversation of every visitor of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._courses: dict[str, _Course] = {}

    def added(self, message: Message, *, fragment_after_push: bool) -> Happening | None:
        """Say what there is to tell of a message that was just put at the end of its chat."""
        if message.pushed and not fragment_after_push:
            return None
        course = self._courses.get(message.visitor_id, _Course())
        if course.opening_id is None and not message.pushed:
            self._courses[message.visitor_id] = replace(course, opening_id=message.id)
            return Happening(EventName.STARTED, message.visitor_id, (message,))
        untold = self._store.written_since(message.visitor_id, course.told)
        self._courses[message.visitor_id] = replace(course, told=self._store.length(message.visitor_id))
        news = tuple(each for each in untold if each.id != course.opening_id)
        return Happening(EventName.FRAGMENT, message.visitor_id, news)

    def finish(self, visitor_id: str) -> Happening | None:
        """End a visitor's conversation; None when none is going on."""
        course = self._courses.get(visitor_id)
        if course is None or course.opening_id is None:
            return None
        length = self._store.length(visitor_id)
        self._courses[visitor_id] = _Course(begins=length, told=length)
        messages = self._store.written_since(visitor_id, course.begins)
        return Happening(EventName.TRANSCRIPT, visitor_id, tuple(messages))

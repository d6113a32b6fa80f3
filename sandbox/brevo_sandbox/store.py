"""The messages of every visitor, the deleted ones included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from brevo_sandbox.messages import Family, Message
from brevo_sandbox.wire import Json


@dataclass(frozen=True, slots=True)
class Visitor:
    """One visitor and how much there is in the chat."""

    id: str
    shown: int
    edited: int
    deleted: int
    last_at: int
    last_text: str

    def as_json(self) -> dict[str, Json]:
        """Show it for inspection."""
        return {
            "id": self.id,
            "shown": self.shown,
            "edited": self.edited,
            "deleted": self.deleted,
            "lastAt": self.last_at,
        }


class Store:
    """Messages by family and id; a deleted one stays for inspection but no operation finds it."""

    def __init__(self) -> None:
        self._messages: dict[tuple[Family, str], Message] = {}
        self._chats: dict[str, list[tuple[Family, str]]] = {}

    def add(self, message: Message) -> None:
        """Put a new message at the end of its visitor's chat."""
        key = (message.family, message.id)
        self._messages[key] = message
        self._chats.setdefault(message.visitor_id, []).append(key)

    def find(self, family: Family, message_id: str) -> Message | None:
        """Get a message that is still shown."""
        message = self._messages.get((family, message_id))
        return message if message is not None and message.shown else None

    def recall(self, family: Family, message_id: str) -> Message | None:
        """Get a message, deleted or not."""
        return self._messages.get((family, message_id))

    def knows(self, visitor_id: str) -> bool:
        """Tell whether a visitor has a chat, be it one of deleted messages only."""
        return visitor_id in self._chats

    def edit(self, message: Message, text: str, now: int) -> Message:
        """Replace the text; the time of creation and the place in the chat stay."""
        return self._keep(replace(message, text=text, edited_at=now))

    def delete(self, message: Message, now: int) -> Message:
        """Take a message out of the visitor's sight."""
        return self._keep(replace(message, deleted_at=now))

    def messages(self) -> Iterable[Message]:
        """List everything ever stored, oldest first."""
        return self._messages.values()

    def chat(self, visitor_id: str) -> list[Message]:
        """List what one visitor sees now, oldest first."""
        return [message for message in self._all_of(visitor_id) if message.shown]

    def written_since(self, visitor_id: str, place: int) -> list[Message]:
        """List what one visitor sees now of the messages after so many of the chat."""
        return [message for message in self._all_of(visitor_id)[place:] if message.shown]

    def length(self, visitor_id: str) -> int:
        """Count every message ever put into one visitor's chat."""
        return len(self._chats.get(visitor_id, ()))

    def visitor(self, visitor_id: str) -> Visitor:
        """Sum up one visitor; somebody never heard of has an empty chat."""
        messages = self._all_of(visitor_id)
        chat = [message for message in messages if message.shown]
        return Visitor(
            id=visitor_id,
            shown=len(chat),
            edited=sum(message.edited for message in chat),
            deleted=len(messages) - len(chat),
            last_at=max((_last_change(message) for message in messages), default=0),
            last_text=chat[-1].text if chat else "",
        )

    def visitors(self) -> list[Visitor]:
        """Sum up every visitor, in the order in which they were first written to."""
        return [self.visitor(visitor_id) for visitor_id in self._chats]

    def _all_of(self, visitor_id: str) -> list[Message]:
        return [self._messages[key] for key in self._chats.get(visitor_id, ())]

    def _keep(self, message: Message) -> Message:
        self._messages[message.family, message.id] = message
        return message


def _last_change(message: Message) -> int:
    return max(message.created_at, message.edited_at or 0, message.deleted_at or 0)

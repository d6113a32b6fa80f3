"""A chat message as the API shows it, and the names the API takes from a fixed cast."""

from __future__ import annotations

import hashlib
import html
import random
import string
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

from brevo_sandbox.wire import Json

ALPHABET = string.ascii_letters + string.digits
ID_LENGTH = 17
AGENT_NAMES = ("Liz", "Julia", "Marco", "Aïcha", "Tom", "Ines", "Noor", "Pavel")

_system_random = random.SystemRandom()


class Family(StrEnum):
    """A kind of message with operations of its own; the value is its path segment."""

    PUSHED = "pushedMessages"


def new_id() -> str:
    """Make an id no earlier run can have given out: a caller may still hold ids from before a restart."""
    return "".join(_system_random.choices(ALPHABET, k=ID_LENGTH))


def agent_of_group(group_id: str) -> str:
    """Name the agent who speaks for a group, always the same one."""
    digest = hashlib.sha256(group_id.encode("utf-8", "surrogatepass")).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:ID_LENGTH])


def agent_name(agent_id: str) -> str:
    """Give an agent the name the visitor sees."""
    return AGENT_NAMES[crc32(agent_id.encode("utf-8", "surrogatepass")) % len(AGENT_NAMES)]


@dataclass(frozen=True, slots=True)
class Message:
    """One message in a visitor's chat; times are Unix milliseconds."""

    id: str
    family: Family
    visitor_id: str
    text: str
    agent_id: str
    created_at: int
    edited_at: int | None = None
    deleted_at: int | None = None

    @property
    def shown(self) -> bool:
        """Whether the visitor sees it."""
        return self.deleted_at is None

    @property
    def edited(self) -> bool:
        """Whether its text was ever replaced."""
        return self.edited_at is not None

    def as_answer(self) -> dict[str, Json]:
        """Show it the way the API answers."""
        return {
            "id": self.id,
            "type": "agent",
            "isPushed": self.family is Family.PUSHED,
            "text": self.text,
            "html": html.escape(self.text, quote=False).replace("\n", "<br>"),
            "visitorId": self.visitor_id,
            "agentId": self.agent_id,
            "agentName": agent_name(self.agent_id),
            "createdAt": self.created_at,
        }

    def as_seen(self) -> dict[str, Json]:
        """Show what the visitor sees of it."""
        return {"id": self.id, "text": self.text, "createdAt": self.created_at, "edited": self.edited}

    def as_stored(self) -> dict[str, Json]:
        """Show everything kept about it."""
        return {
            "id": self.id,
            "family": self.family.value,
            "visitorId": self.visitor_id,
            "text": self.text,
            "agentId": self.agent_id,
            "createdAt": self.created_at,
            "editedAt": self.edited_at,
            "deletedAt": self.deleted_at,
            "edited": self.edited,
            "deleted": not self.shown,
        }

"""A chat message as the API shows it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from enum import StrEnum

from brevo_sandbox.agents import Agent
from brevo_sandbox.rules import HtmlText, Rules
from brevo_sandbox.wire import Json

_NEVER_TRUE_HERE = {"isTrigger": False, "isMissed": False, "isMissedByVisitor": False, "isBot": False}


class Family(StrEnum):
    """A kind of message with operations of its own; the value is its path segment."""

    PUSHED = "pushedMessages"
    CHAT = "messages"


@dataclass(frozen=True, slots=True)
class Message:
    """One message in a visitor's chat, by an agent or, without one, by the visitor; times are Unix milliseconds."""

    id: str
    family: Family
    visitor_id: str
    text: str
    agent: Agent | None
    created_at: int
    edited_at: int | None = None
    deleted_at: int | None = None
    received_from: str | None = None

    @property
    def shown(self) -> bool:
        """Whether the visitor sees it."""
        return self.deleted_at is None

    @property
    def edited(self) -> bool:
        """Whether its text was ever replaced."""
        return self.edited_at is not None

    @property
    def pushed(self) -> bool:
        """Whether it is an automated message."""
        return self.family is Family.PUSHED

    @property
    def type(self) -> str:
        """Whose side it is from, in the API's words."""
        return "visitor" if self.agent is None else "agent"

    def as_answer(self, rules: Rules) -> dict[str, Json]:
        """Show it the way the API answers."""
        answer: dict[str, Json] = {
            "id": self.id,
            "type": self.type,
            "isPushed": self.pushed,
            "text": self.text,
            "html": self._html(rules),
            "visitorId": self.visitor_id,
            "createdAt": self.created_at,
        }
        if self.agent is not None:
            answer["agentId"] = self.agent.id
            answer["agentName"] = self.agent.name
        if self.received_from is not None:
            answer["receivedFrom"] = self.received_from
        if rules.false_flags:
            answer.update(_NEVER_TRUE_HERE)
        elif not self.pushed:
            del answer["isPushed"]
        return answer

    def as_event(self, rules: Rules) -> dict[str, Json]:
        """Show it the way a webhook does, which names the visitor elsewhere."""
        event = self.as_answer(rules)
        del event["visitorId"]
        return event | {"rawUnsafeHtml": self.text.replace("\n", "<br>")}

    def as_seen(self) -> dict[str, Json]:
        """Show what the visitor sees of it."""
        return {
            "id": self.id,
            "type": self.type,
            "text": self.text,
            "createdAt": self.created_at,
            "edited": self.edited,
        }

    def as_stored(self) -> dict[str, Json]:
        """Show everything kept about it."""
        return {
            "id": self.id,
            "family": self.family.value,
            "type": self.type,
            "visitorId": self.visitor_id,
            "text": self.text,
            "agentId": None if self.agent is None else self.agent.id,
            "receivedFrom": self.received_from,
            "createdAt": self.created_at,
            "editedAt": self.edited_at,
            "deletedAt": self.deleted_at,
            "edited": self.edited,
            "deleted": not self.shown,
        }

    def _html(self, rules: Rules) -> str:
        if rules.html_text is HtmlText.INTERPRET:
            return self.text
        return html.escape(self.text, quote=False).replace("\n", "<br>")

"""The audit trail: what people did with an account, by whom and why. It holds no texts, visitors or keys."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pushledger.errors import InvalidJob

__all__ = ["NOBODY", "AuditEntry", "By"]

_LONGEST = {"by": 100, "why": 500}


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and why; '' for what is not said. Raises InvalidJob for what is too long or not printable."""

    name: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        for rule, value in (("by", self.name), ("why", self.why)):
            if len(value) > _LONGEST[rule] or not value.isprintable():
                raise InvalidJob(rule, f"must be one line of at most {_LONGEST[rule]} printable characters")


NOBODY = By()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing that somebody did: to a message, to ``messages`` of them at once, or to the whole account.

    ``outcome`` is what came of it: the message's state then, or what became of the account.
    """

    at: datetime
    action: str
    outcome: str
    by: str = ""
    why: str = ""
    local_id: str | None = None
    messages: int | None = None
    details: dict[str, str] = field(default_factory=dict)


def audit_document(
    action: str, by: By, local_id: str | None = None, messages: int | None = None, details: dict[str, str] | None = None
) -> str:
    """What a script appends to the trail; its random id tells a repetition from doing the same once more."""
    values = {
        "id": secrets.token_hex(8),
        "action": action,
        "by": by.name,
        "why": by.why,
        "local_id": local_id,
        "messages": messages,
        "details": details,
    }
    kept = {name: value for name, value in values.items() if value not in (None, "", {})}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def audit_entry(line: str) -> AuditEntry:
    """Read one line of the trail: milliseconds, outcome, document."""
    at, outcome, document = line.split(" ", 2)
    values = json.loads(document)
    return AuditEntry(
        at=datetime.fromtimestamp(int(at) / 1000, UTC),
        action=values["action"],
        outcome=outcome,
        by=values.get("by", ""),
        why=values.get("why", ""),
        local_id=values.get("local_id"),
        messages=values.get("messages"),
        details=values.get("details", {}),
    )

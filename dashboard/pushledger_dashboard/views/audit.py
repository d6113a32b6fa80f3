"""The audit trail in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pushledger.ledger import AuditEntry

from pushledger_dashboard.addresses import message_address
from pushledger_dashboard.views.times import Moment, moment
from pushledger_dashboard.views.words import count_of

__all__ = ["EntryView", "entry_views"]


@dataclass(frozen=True, slots=True)
class EntryView:
    """One thing that somebody did; ``href`` leads to the message it was done to."""

    at: Moment
    by: str
    action: str
    local_id: str
    href: str
    about: str
    outcome: str
    why: str


def entry_views(entries: Iterable[AuditEntry], now: datetime) -> tuple[EntryView, ...]:
    """The entries as they are shown."""
    return tuple(_view(entry, now) for entry in entries)


def _view(entry: AuditEntry, now: datetime) -> EntryView:
    details = ", ".join(f"{name} {value}" for name, value in entry.details.items())
    many = count_of(entry.messages, "message") if entry.messages is not None else ""
    return EntryView(
        at=moment(entry.at, now),
        by=entry.by,
        action=entry.action,
        local_id=entry.local_id or "",
        href=message_address(entry.local_id) if entry.local_id else "",
        about=", ".join(filter(None, [many, details])) or ("" if entry.local_id else "the account"),
        outcome=entry.outcome,
        why=entry.why,
    )

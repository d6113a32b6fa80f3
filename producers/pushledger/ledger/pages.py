"""Lists of messages read page by page, and what they are filtered by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pushledger.message import State

__all__ = ["BulkAction", "BulkStep", "Filter", "Found", "Order", "Page", "Place", "SearchBy", "SearchPlace"]

Order: TypeAlias = Literal["newest", "oldest"]
BulkAction: TypeAlias = Literal["retry", "resend", "discard", "delete"]
SearchBy: TypeAlias = Literal["prefix", "message_id", "visitor_id"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the score and id of the last message that was looked at."""

    score: str
    local_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages of a state: those whose id begins with ``prefix``, that came there for this ``reason``, of this
    ``priority``, from ``since`` on, until ``until``. '' and None: any."""

    prefix: str = ""
    reason: str = ""
    priority: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list. ``place`` is where to go on, None at the end; ``left`` is how many the list has behind it.

    With an action, ``ids`` are the messages that it fits, ``refused`` how many it does not fit, and ``calls`` how
    many calls to the API it would cost, if each does what it shall.
    """

    state: State
    ids: tuple[str, ...]
    looked_at: int
    left: int
    place: Place | None
    refused: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """Where a search goes on: in which list, at which cursor of it, after how many messages."""

    part: int = 0
    cursor: str = "0"
    looked_at: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found so far: it looked at ``looked_at`` of ``of`` messages, and goes on at ``place``, if not
    at the end."""

    ids: tuple[str, ...]
    looked_at: int
    of: int
    place: SearchPlace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkStep:
    """One step of doing something to many messages, or of a dry run of it.

    ``messages`` is how many it was done to (or would be), ``calls`` what that costs at the API, ``refused`` how many it
    does not fit, ``left`` how many of the state were not looked at yet. ``place`` is where to go on, None when done.
    """

    messages: int
    calls: int
    refused: int
    looked_at: int
    left: int
    place: Place | None

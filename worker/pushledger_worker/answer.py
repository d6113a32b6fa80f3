"""What can come of a call, by evidence: it surely was not sent, its fate is unknown, or it was answered (R10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Answer", "Answered", "Dropped", "NotSent", "Unanswered"]


@dataclass(frozen=True, slots=True)
class NotSent:
    """No connection was had: not a byte of the request left."""

    detail: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """The worker let the call go before it was sent, because its lease was running out (R4)."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The request may have reached the API, and no answer came."""

    detail: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer. ``headers`` have lower-case names; ``body`` is the JSON object of the body, {} if it is none;
    ``is_html`` tells a proxy's error page from the API's own answer."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]
    is_html: bool = False


Answer: TypeAlias = NotSent | Dropped | Unanswered | Answered

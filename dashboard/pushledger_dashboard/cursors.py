"""Cursors: where a list or a search goes on, as one opaque word."""

from __future__ import annotations

import base64
import binascii
import json
import re

from pushledger.ledger import Place, SearchPlace

from pushledger_dashboard.problems import Problem

__all__ = ["place_cursor", "place_of", "search_cursor", "search_place_of"]

_SCORE = re.compile(r"-?\d{1,17}(\.\d{1,10})?(e\+\d{1,2})?", re.ASCII)
_SCAN = re.compile(r"\d{1,19}", re.ASCII)  # below 2^64, beyond which the server refuses it


def _packed(*parts: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def _unpacked(cursor: str) -> list[object]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise _unknown() from None
    return parts if isinstance(parts, list) else []


def _unknown() -> Problem:
    rule = "must be the cursor of an earlier answer to the same question"
    return Problem(422, f"cursor: {rule}", field="cursor", rule=rule)


def place_cursor(place: Place | None) -> str | None:
    """The cursor of a place in a list; None at the end."""
    return None if place is None else _packed(place.score, place.local_id)


def place_of(cursor: str | None) -> Place | None:
    """The place of a cursor; None to begin. Raises Problem."""
    if cursor is None:
        return None
    match _unpacked(cursor):
        case [str(score), str(local_id)] if _SCORE.fullmatch(score) and _is_text(local_id):
            return Place(score, local_id)
    raise _unknown()


def search_cursor(place: SearchPlace | None) -> str | None:
    """The cursor of a place in a search; None at the end."""
    return None if place is None else _packed(place.part, place.cursor, place.looked_at)


def search_place_of(cursor: str | None) -> SearchPlace | None:
    """The place of a search's cursor; None to begin. Raises Problem."""
    if cursor is None:
        return None
    match _unpacked(cursor):
        case [int(part), str(scan), int(looked_at)] if 0 <= part < 10 and re.fullmatch(r"\d{1,19}", scan, re.ASCII):
            return SearchPlace(part, scan, max(0, min(looked_at, 2**53)))
    raise _unknown()


def _is_text(value: str) -> bool:
    try:
        return len(value.encode()) <= 512
    except UnicodeEncodeError:
        return False

"""Addresses of this site: made from names and values, and checked when they come from outside."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

__all__ = ["address", "message_address", "within"]


def address(path: str, **values: object) -> str:
    """A path with a query; what is empty is left out. Any text may be a value."""
    query = urlencode({name: value for name, value in values.items() if value not in (None, "", False)})
    return f"{path}?{query}" if query else path


def message_address(local_id: str) -> str:
    """The page of a message."""
    return address("/messages/show", id=local_id)


def within(asked: str) -> str:
    """The address if it is one of this site, else the first page."""
    parts = _parts(asked) if asked.isprintable() else None
    is_ours = parts is not None and not parts[0] and not parts[1] and "\\" not in asked
    return asked if is_ours and asked.startswith("/") and not asked.startswith("//") else "/"


def _parts(asked: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(asked)
    except ValueError:
        return None
    return parts.scheme, parts.netloc

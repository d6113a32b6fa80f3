"""Text of others on a terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

_INVISIBLE = {"Cc", "Cs", "Zl", "Zp"}
_TURNS_TEXT = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def printable(text: str) -> str:
    """One line of text in which nothing can steer a terminal: control characters are shown as escapes."""
    return "".join(_escape(char) if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE or unicodedata.bidirectional(char) in _TURNS_TEXT


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")

"""JSON as it comes in and goes out, and the one way a settings document is read."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class BadInputError(ValueError):
    """A value given to the sandbox breaks a rule; the message names the field and the rule."""


def dump(document: Json) -> bytes:
    """Write JSON in ASCII, so that even a lone surrogate in a message's text can be sent."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def load(body: bytes) -> Json:
    """Read JSON; every way of being unreadable is a `BadInputError`."""
    try:
        document: Json = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadInputError("the body is not valid JSON") from exc
    return document


class Fields:
    """The fields of a JSON object, taken out by type; unknown names are refused, so typos show."""

    def __init__(self, document: Json, known: Collection[str]) -> None:
        if not isinstance(document, Mapping):
            raise BadInputError("expected a JSON object")
        unknown = sorted(set(document) - set(known))
        if unknown:
            raise BadInputError(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        self._values = document

    def given(self, name: str) -> bool:
        """Tell whether the field is there at all, be it as null."""
        return name in self._values

    def text(self, name: str) -> str | None:
        """Take a string."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise BadInputError(f"{name}: expected a string")

    def number(self, name: str) -> float | None:
        """Take a number."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise BadInputError(f"{name}: expected a number")

    def whole(self, name: str) -> int | None:
        """Take a whole number."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise BadInputError(f"{name}: expected a whole number")

    def flag(self, name: str) -> bool | None:
        """Take true or false."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise BadInputError(f"{name}: expected true or false")

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Take a list of strings."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, list):
            found = tuple(item for item in value if isinstance(item, str))
            if len(found) == len(value):
                return found
        raise BadInputError(f"{name}: expected a list of strings")

    def items(self, name: str) -> Sequence[Json]:
        """Take a list of anything; absent counts as empty."""
        value = self._values.get(name)
        if value is None:
            return ()
        if isinstance(value, list):
            return value
        raise BadInputError(f"{name}: expected a list")

"""Switches for what the API's documentation leaves open."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from brevo_sandbox.wire import BadInputError, Fields, Json


@dataclass(frozen=True, slots=True)
class Rules:
    """One choice per open question; the defaults are the cautious ones."""

    require_sender: bool = True
    """Refuse a create that names neither an agent nor a group."""
    rate_headers: bool = True
    """Send the x-sib-ratelimit headers."""
    count_refused: bool = False
    """Let calls answered 429 use up what the next window allows."""
    not_found_code: bool = True
    """Put a `code` into the body of a 404."""

    def as_json(self) -> dict[str, Json]:
        """Show every switch."""
        return {field.name: getattr(self, field.name) is True for field in fields(self)}

    def changed(self, document: Json) -> Rules:
        """Apply a document that names the switches to change."""
        names = [field.name for field in fields(self)]
        given = Fields(document, names)
        changes = {name: given.flag(name) for name in names if given.given(name)}
        chosen = {name: value for name, value in changes.items() if value is not None}
        if len(chosen) != len(changes):
            raise BadInputError("a switch is true or false")
        return replace(self, **chosen)

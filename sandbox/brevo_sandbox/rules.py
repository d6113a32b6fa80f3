"""Switches for what the API's documentation leaves open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TypeVar

from brevo_sandbox.wire import BadInputError, Fields, Json

Choice = TypeVar("Choice", bound=StrEnum)


class HtmlText(StrEnum):
    """What becomes of markup in a text."""

    ESCAPE = "escape"
    INTERPRET = "interpret"


class Bucket(StrEnum):
    """Which calls share one rate limit."""

    ACCOUNT = "account"
    KEY = "key"
    FAMILY = "family"
    ROUTE = "route"


class WindowType(StrEnum):
    """How a rate limit forgets: all at once when the window ends, or each call when it is a window old."""

    FIXED = "fixed"
    SLIDING = "sliding"


class LimitBody(StrEnum):
    """What a 429 says."""

    CODE = "code"
    EMPTY_OBJECT = "empty_object"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Rules:
    """One choice per open question; the defaults are the cautious ones."""

    require_sender: bool = True
    """Refuse a pushed message that names neither an agent nor a group."""
    require_known_visitor: bool = False
    """Refuse a create for a visitor who has no chat yet."""
    accept_blank_text: bool = False
    """Take a text of nothing but white space."""
    longest_text: int = 0
    """Refuse a text of more characters than this; 0 takes any length."""
    html_text: HtmlText = HtmlText.ESCAPE
    """Whether markup in a text is shown as text or as markup."""
    ids_across_families: bool = False
    """Find a message under the path of the other family too."""
    false_flags: bool = True
    """Send the flags that are false, instead of leaving them out."""
    limit_body: LimitBody = LimitBody.CODE
    """The body of a 429."""
    rate_headers: bool = True
    """Send the x-sib-ratelimit headers."""
    bucket: Bucket = Bucket.ACCOUNT
    """Which calls share one rate limit."""
    window: WindowType = WindowType.FIXED
    """Whether the rate limit's window ends at once or slides."""
    count_refused: bool = False
    """Let calls answered 429 use up what the window allows."""
    fragment_after_push: bool = False
    """Send a `conversationFragment` for a pushed message alone."""
    duplicate_seconds: float = 0.0
    """Answer the very same request with 400 `duplicate_request` for so many seconds; 0 never does."""
    not_found_code: bool = True
    """Put a `code` into the body of a 404."""
    second_delete_status: int = 404
    """The status of a DELETE of what was deleted before: 404 or 204."""
    visitor_message_status: int = 400
    """The status of a PUT or DELETE of a visitor's message: 400 or 404."""
    online_seconds: float = 150.0
    """How long a ping keeps an agent online; documented as two to three minutes."""

    def __post_init__(self) -> None:
        """Refuse a choice that no reading of the documentation allows."""
        _one_of("second_delete_status", self.second_delete_status, (404, 204))
        _one_of("visitor_message_status", self.visitor_message_status, (400, 404))
        for name, amount in (
            ("longest_text", self.longest_text),
            ("duplicate_seconds", self.duplicate_seconds),
            ("online_seconds", self.online_seconds),
        ):
            if not 0 <= amount <= 1_000_000:
                raise BadInputError(f"{name}: expected 0 to 1,000,000")

    def as_json(self) -> dict[str, Json]:
        """Show every switch."""
        return {
            "require_sender": self.require_sender,
            "require_known_visitor": self.require_known_visitor,
            "accept_blank_text": self.accept_blank_text,
            "longest_text": self.longest_text,
            "html_text": self.html_text.value,
            "ids_across_families": self.ids_across_families,
            "false_flags": self.false_flags,
            "limit_body": self.limit_body.value,
            "rate_headers": self.rate_headers,
            "bucket": self.bucket.value,
            "window": self.window.value,
            "count_refused": self.count_refused,
            "fragment_after_push": self.fragment_after_push,
            "duplicate_seconds": self.duplicate_seconds,
            "not_found_code": self.not_found_code,
            "second_delete_status": self.second_delete_status,
            "visitor_message_status": self.visitor_message_status,
            "online_seconds": self.online_seconds,
        }

    def changed(self, document: Json) -> Rules:
        """Apply a document that names the switches to change."""
        given = Fields(document, [field.name for field in fields(self)])
        return replace(
            self,
            require_sender=_flag(given, "require_sender", self.require_sender),
            require_known_visitor=_flag(given, "require_known_visitor", self.require_known_visitor),
            accept_blank_text=_flag(given, "accept_blank_text", self.accept_blank_text),
            longest_text=_whole(given, "longest_text", self.longest_text),
            html_text=_choice(given, "html_text", self.html_text),
            ids_across_families=_flag(given, "ids_across_families", self.ids_across_families),
            false_flags=_flag(given, "false_flags", self.false_flags),
            limit_body=_choice(given, "limit_body", self.limit_body),
            rate_headers=_flag(given, "rate_headers", self.rate_headers),
            bucket=_choice(given, "bucket", self.bucket),
            window=_choice(given, "window", self.window),
            count_refused=_flag(given, "count_refused", self.count_refused),
            fragment_after_push=_flag(given, "fragment_after_push", self.fragment_after_push),
            duplicate_seconds=_number(given, "duplicate_seconds", self.duplicate_seconds),
            not_found_code=_flag(given, "not_found_code", self.not_found_code),
            second_delete_status=_whole(given, "second_delete_status", self.second_delete_status),
            visitor_message_status=_whole(given, "visitor_message_status", self.visitor_message_status),
            online_seconds=_number(given, "online_seconds", self.online_seconds),
        )


def parse_rule(written: str) -> tuple[str, Json]:
    """Read `name=value`, as `bucket=key`, `longest_text=5000` or `false_flags=false`."""
    name, equals, value = (part.strip() for part in written.partition("="))
    if not equals:
        raise BadInputError(f"rule: {written!r} is not of the form name=value")
    if value in ("true", "false"):
        return name, value == "true"
    for read in (int, float):
        try:
            return name, read(value)
        except ValueError:
            continue
    return name, value


def _one_of(name: str, value: int, allowed: Collection[int]) -> None:
    if value not in allowed:
        raise BadInputError(f"{name}: expected {' or '.join(str(one) for one in allowed)}")


def _flag(given: Fields, name: str, now: bool) -> bool:
    return now if not given.given(name) else _not_null(name, given.flag(name))


def _whole(given: Fields, name: str, now: int) -> int:
    return now if not given.given(name) else _not_null(name, given.whole(name))


def _number(given: Fields, name: str, now: float) -> float:
    return now if not given.given(name) else _not_null(name, given.number(name))


def _choice(given: Fields, name: str, now: Choice) -> Choice:
    if not given.given(name):
        return now
    written, kind = _not_null(name, given.text(name)), type(now)
    try:
        return kind(written)
    except ValueError:
        raise BadInputError(f"{name}: {written!r} is none of {', '.join(kind)}") from None


Value = TypeVar("Value")


def _not_null(name: str, value: Value | None) -> Value:
    if value is None:
        raise BadInputError(f"{name}: a switch is never null")
    return value

"""What a page says when something went wrong."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ErrorView", "error_view"]

_TITLES = {
    401: "You are not logged in",
    403: "This is not allowed",
    404: "There is no such thing here",
    409: "It does not fit",
    413: "That was too much",
    422: "A value does not fit",
    429: "Too many wrong tokens",
    500: "The dashboard failed",
    503: "The ledger does not answer",
}
_EXPLANATIONS = {
    401: "Nothing was changed. Log in, and do it again.",
    403: "Nothing was changed.",
    404: "It may have been forgotten, or its time was over: what was deleted leaves the ledger after a while.",
}
_AWAY = (
    "What was accepted before is kept there, and goes on when it is back.",
    "Meanwhile nothing goes out: visitors go on seeing what they saw last. Shops get a clear error for each job, and "
    "repeat it with the same job id; workers wait and begin again by themselves.",
)
_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ErrorView:
    """A title, the detail, what it means, and after how many seconds the page asks again (0: never)."""

    title: str
    detail: str
    explanations: tuple[str, ...]
    retry_seconds: int
    must_log_in: bool


def error_view(status: int, detail: str, is_repeatable: bool) -> ErrorView:
    """What the page of an error says. Only what merely looked (``is_repeatable``) is asked again by itself."""
    is_away = status == 503 and "ledger" in detail
    explanations = _AWAY if is_away else tuple(filter(None, [_EXPLANATIONS.get(status)]))
    if status == 503 and not is_repeatable:
        explanations = (
            "It is not known whether this was done. Go back and look; doing it again does no harm.",
            *explanations,
        )
    return ErrorView(
        title=_TITLES.get(status, "Something went wrong") if is_away or status != 503 else "Not just now",
        detail="Redis is away, or refuses to answer." if is_away else detail,
        explanations=explanations,
        retry_seconds=_RETRY_SECONDS if status == 503 and is_repeatable else 0,
        must_log_in=status == 401,
    )

"""From an answer to what the ledger shall write down. Pure: time and limits are arguments.

    answer                       a create               an edit          a removal
    2xx                          confirmed with its id  confirmed        confirmed
    404                          refused                gone             confirmed
    429                          unsent, the account waits until the reset, no attempt used
    401 402 403 3xx              unsent, the account pauses, no attempt used
    other 4xx                    refused                refused          refused
    408 5xx, no answer           unknown: sent again within max_resends  unknown: repeated freely
    no connection                unsent, the account pauses, no attempt used

Sources: the API's reference pages; no status beyond 400, 404 and the successes is declared there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from pushledger.ledger import AccountPause, Heard, Settlement
from pushledger.message import LastError
from tenacity import RetryCallState, Retrying, wait_exponential, wait_random

from pushledger_worker.answer import Answer, Answered, Dropped, NotSent, Unanswered
from pushledger_worker.plan import Call, Edit, Probe, Remove, Send

__all__ = ["Limits", "Standing", "backoff", "usable_id", "verdict"]

LONGEST_RESET = timedelta(hours=1)
RESET_UNKNOWN = timedelta(minutes=1)
DETAIL_LENGTH = 200
MAX_MESSAGE_ID_BYTES = 512
MOST_REMAINING = 1_000_000_000  # more says no more, and the ledger counts down from it in whole numbers
TROUBLES_IN_A_ROW = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait between attempts, and when to give up."""

    backoff_first: timedelta
    backoff_limit: timedelta
    give_up_after: timedelta
    settle_delay: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the message and the account stand: earlier attempts of the message, how long it has been failing, and
    how often in a row the account has met trouble."""

    attempts: int
    failing_for: timedelta
    strikes: int


def verdict(call: Call, answer: Answer, standing: Standing, limits: Limits) -> Settlement:
    """What came of the call."""
    match answer:
        case Dropped():
            return Settlement(kind="unsent", counts=False, error=LastError("unsent", detail="lease ran out"))
        case NotSent(detail):
            pause = AccountPause(_growing(timedelta(seconds=1), standing.strikes), "unreachable", trouble=True)
            error = LastError("unsent", detail=_short(detail))
            return Settlement(kind="unsent", counts=False, pause=pause, error=error)
        case Unanswered(detail):
            return _unknown(LastError("unknown", detail=_short(detail)), None, standing, limits)
        case Answered():
            return _answered(call, answer, standing, limits)


def _answered(call: Call, answer: Answered, standing: Standing, limits: Limits) -> Settlement:
    status, heard = answer.status, _heard(answer)
    error = LastError("answered", status, _word(answer.body.get("code")), _word(answer.body.get("message")))
    if 200 <= status < 300:
        message_id = usable_id(answer.body.get("id")) if isinstance(call, Send) else ""
        return Settlement(kind="confirmed", message_id=message_id, status=status, heard=heard)
    if status == 429:
        wait = heard.reset_in if heard else _growing(RESET_UNKNOWN, standing.strikes)
        pause = AccountPause(wait, "rate_limited", trouble=False)
        return Settlement(
            kind="unsent", status=status, counts=False, retry_in=wait, pause=pause, error=error, heard=heard
        )
    if status in (401, 402, 403) or 300 <= status < 400 or (status == 404 and answer.is_html):
        reason = {401: "key_refused", 402: "account_refused", 403: "account_refused"}.get(status, "api_url_wrong")
        pause = AccountPause(_growing(timedelta(seconds=30), standing.strikes), reason, trouble=True)
        # It is due again from now, and so behind all others when the pause ends: probes rotate (R11).
        return Settlement(kind="unsent", status=status, counts=False, pause=pause, error=error, heard=heard)
    if status == 404 and isinstance(call, Remove | Probe):
        return Settlement(kind="confirmed", status=status, heard=heard)
    if status == 404 and isinstance(call, Edit):
        return Settlement(kind="gone", status=status, error=error, heard=heard)
    if 400 <= status < 500 and status != 408:
        return Settlement(kind="refused", status=status, error=error, heard=heard)
    return _unknown(error, heard, standing, limits)


def _unknown(error: LastError, heard: Heard | None, standing: Standing, limits: Limits) -> Settlement:
    return Settlement(
        kind="unknown",
        status=error.status,
        error=error,
        retry_in=max(limits.settle_delay, backoff(standing.attempts + 1, limits)),
        give_up=standing.failing_for >= limits.give_up_after,
        pause=AccountPause(
            _growing(timedelta(seconds=5), standing.strikes), "api_down", trouble=True, after=TROUBLES_IN_A_ROW
        ),
        heard=heard,
    )


def backoff(attempt: int, limits: Limits) -> timedelta:
    """How long to wait after the given attempt (1, 2, 3 …): exponential with jitter, by tenacity's strategies."""
    first = limits.backoff_first.total_seconds()
    wait = wait_exponential(multiplier=first, max=limits.backoff_limit.total_seconds()) + wait_random(0, first)
    state = RetryCallState(retry_object=Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    seconds: float = wait(state)
    return timedelta(seconds=seconds)


def usable_id(message_id: object) -> str:
    """The id of an answer if it can name the message later, else ''.

    It must be text, not empty, and safe as one segment of a path; nothing else is known of its form.
    """
    if not isinstance(message_id, str) or message_id in ("", ".", "..") or not message_id.isprintable():
        return ""
    return message_id if len(message_id.encode()) <= MAX_MESSAGE_ID_BYTES else ""


def _heard(answer: Answered) -> Heard | None:
    """What the headers say is left; a reset is seconds from now, not an epoch, and never beyond an hour."""
    remaining = _number(answer.headers.get("x-sib-ratelimit-remaining"))
    reset = _number(answer.headers.get("x-sib-ratelimit-reset"))
    if reset is None or reset < 0 or (remaining is None and answer.status != 429):
        return None
    reset_in = min(timedelta(seconds=min(reset, LONGEST_RESET.total_seconds())), LONGEST_RESET)
    left = 0 if answer.status == 429 else max(0, min(math.floor(remaining or 0), MOST_REMAINING))
    return Heard(left, max(reset_in, timedelta(seconds=1)))


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _growing(first: timedelta, strikes: int) -> timedelta:
    return min(first * 2.0 ** min(strikes, 10), timedelta(minutes=15))


def _word(value: object) -> str | None:
    return _short(value) if isinstance(value, str) and value else None


def _short(text: str) -> str:
    text = text.encode(errors="replace").decode()  # JSON may hold half of a surrogate pair; Redis cannot
    return text if len(text) <= DETAIL_LENGTH else text[: DETAIL_LENGTH - 1] + "…"

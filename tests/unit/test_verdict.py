"""What a worker writes down of a call: every kind of answer to every kind of call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pushledger.ledger import AccountPause, Heard, Settlement, SettlementKind
from pushledger.message import LastError, error_to_json
from pushledger_worker.answer import Answer, Answered, Dropped, NotSent, Unanswered
from pushledger_worker.plan import Call, Edit, Remove, Send
from pushledger_worker.verdict import Limits, Standing, backoff, usable_id, verdict

SEND = Send("pushed", '{"agentId":"a","visitorId":"v"}', "Shipped")
EDIT = Edit("pushed", "AXC", "Shipped")
REMOVE = Remove("pushed", "AXC")
CALLS: list[Call] = [SEND, EDIT, REMOVE]
LIMITS = Limits(
    backoff_first=timedelta(seconds=5),
    backoff_limit=timedelta(minutes=30),
    give_up_after=timedelta(days=1),
    settle_delay=timedelta(seconds=30),
)
FIRST = Standing(attempts=0, failing_for=timedelta(0), strikes=0)
REMAINING, RESET = "x-sib-ratelimit-remaining", "x-sib-ratelimit-reset"
PROBLEM = {"code": "some_code", "message": "some words"}


def answered(
    status: int, body: Mapping[str, object] | None = None, headers: Mapping[str, str] = MappingProxyType({})
) -> Answered:
    return Answered(status, headers, PROBLEM if body is None else body)


def limits_heard(remaining: str | None, reset: str | None, status: int = 200) -> Heard | None:
    headers = {REMAINING: remaining, RESET: reset}
    sent = {name: value for name, value in headers.items() if value is not None}
    return verdict(SEND, answered(status, {"id": "AXC"}, sent), FIRST, LIMITS).heard


def pause_of(settlement: Settlement) -> tuple[str, bool, int] | None:
    pause = settlement.pause
    return None if pause is None else (pause.reason, pause.trouble, pause.after)


# ---------------------------------------------------------------- which answer comes to what

TABLE: list[tuple[Answer, tuple[SettlementKind, SettlementKind, SettlementKind]]] = [
    # 2xx of any number confirms every call: the documented ones differ between sources.
    *((answered(status, {"id": "AXC"}), ("confirmed", "confirmed", "confirmed")) for status in (200, 201, 202, 204)),
    # 404: the thing is gone. That is what a removal wanted, an edit cannot be helped, a create makes no sense.
    (answered(404), ("refused", "gone", "confirmed")),
    (answered(404, {"message": "Message not found"}), ("refused", "gone", "confirmed")),  # the code may be missing
    # A 404 in HTML is not the API's word: the base URL is wrong, and nothing is gone.
    (Answered(404, {}, {}, is_html=True), ("unsent", "unsent", "unsent")),
    # 429 was refused before it was processed.
    (answered(429), ("unsent", "unsent", "unsent")),
    # The account's trouble is not the message's fault (promise 8).
    *((answered(status), ("unsent", "unsent", "unsent")) for status in (401, 402, 403)),
    # A redirect is never followed: it would send the key elsewhere, or a POST as a GET.
    *((answered(status), ("unsent", "unsent", "unsent")) for status in (301, 302, 304, 307, 308)),
    # Other 4xx are final, whatever their code says.
    *((answered(status), ("refused", "refused", "refused")) for status in (400, 405, 406, 409, 410, 413, 422, 451)),
    *(
        (answered(400, {"code": code}), ("refused", "refused", "refused"))
        for code in ("duplicate_request", "Request already processed", "never heard of", "")
    ),
    (Answered(400, {}, {}, is_html=True), ("refused", "refused", "refused")),
    # May have been processed: the API's own trouble, a proxy's, and whatever nobody has defined (promise 5).
    *((answered(status), ("unknown", "unknown", "unknown")) for status in (408, 500, 502, 503, 504, 520, 524, 599)),
    *((answered(status), ("unknown", "unknown", "unknown")) for status in (101, 199, 600, 999)),
    (Answered(502, {}, {}, is_html=True), ("unknown", "unknown", "unknown")),
    (Unanswered("ReadError"), ("unknown", "unknown", "unknown")),
    # Surely not sent.
    (NotSent("ConnectError: refused"), ("unsent", "unsent", "unsent")),
    (Dropped(), ("unsent", "unsent", "unsent")),
]


@pytest.mark.parametrize(("answer", "kinds"), TABLE)
def test_every_answer_to_every_call(
    answer: Answer, kinds: tuple[SettlementKind, SettlementKind, SettlementKind]
) -> None:
    assert tuple(verdict(call, answer, FIRST, LIMITS).kind for call in CALLS) == kinds


@pytest.mark.parametrize("answer", [answer for answer, _ in TABLE])
@pytest.mark.parametrize("call", CALLS)
def test_only_an_unknown_outcome_costs_an_attempt(call: Call, answer: Answer) -> None:
    """What surely was not processed is not held against the message (promises 5, 6, 8)."""
    settlement = verdict(call, answer, FIRST, LIMITS)
    assert settlement.counts is (settlement.kind != "unsent")
    assert not settlement.give_up
    assert settlement.retry_in >= timedelta(0)


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (answered(200, {"id": "AXC"}), None),
        (answered(400), None),
        (Dropped(), None),
        # A rate limit ends by itself; no call needs to probe.
        (answered(429), ("rate_limited", False, 1)),
        # Trouble ends with a probing call; one answer is proof enough …
        (answered(401), ("key_refused", True, 1)),
        (answered(402), ("account_refused", True, 1)),
        (answered(403), ("account_refused", True, 1)),
        (answered(302), ("api_url_wrong", True, 1)),
        (Answered(404, {}, {}, is_html=True), ("api_url_wrong", True, 1)),
        (NotSent("refused"), ("unreachable", True, 1)),
        # … but one message may well fail alone, so that an API is only thought down after some in a row.
        (answered(500), ("api_down", True, 5)),
        (Unanswered("ReadError"), ("api_down", True, 5)),
    ],
)
@pytest.mark.parametrize("call", CALLS)
def test_trouble_of_the_account_pauses_it(call: Call, answer: Answer, pause: tuple[str, bool, int] | None) -> None:
    assert pause_of(verdict(call, answer, FIRST, LIMITS)) == pause


# ---------------------------------------------------------------- the id of a new message


@pytest.mark.parametrize(
    ("body", "message_id"),
    [
        ({"id": "AXCR3k9bpSY7bpuh7"}, "AXCR3k9bpSY7bpuh7"),
        ({"id": "ж/%?#&=+ é"}, "ж/%?#&=+ é"),  # opaque: it is escaped in paths
        ({"id": "..."}, "..."),
        ({"id": "x" * 512}, "x" * 512),
        # No usable id: held at once, never sent again (R9).
        ({}, ""),
        ({"id": None}, ""),
        ({"id": ""}, ""),
        ({"id": 17}, ""),
        ({"id": True}, ""),
        ({"id": ["AXC"]}, ""),
        ({"id": {"id": "AXC"}}, ""),
        ({"ID": "AXC"}, ""),
        ({"id": "."}, ""),  # as a segment of a path these name something else
        ({"id": ".."}, ""),
        ({"id": "a\nb"}, ""),  # the ledger's lists are parted by such characters
        ({"id": "a\x00b"}, ""),
        ({"id": "a\u2028b"}, ""),
        ({"id": "\ud800"}, ""),  # half of a surrogate pair cannot be written down
        ({"id": "x" * 600}, ""),
        ({"id": "ж" * 300}, ""),  # 600 bytes
    ],
)
def test_the_id_of_a_created_message(body: dict[str, object], message_id: str) -> None:
    settlement = verdict(SEND, answered(200, body), FIRST, LIMITS)
    assert (settlement.kind, settlement.message_id) == ("confirmed", message_id)
    assert settlement.error is None


@pytest.mark.parametrize("call", [EDIT, REMOVE])
def test_other_calls_bring_no_id(call: Call) -> None:
    """An answer to an edit that names another id is not taken for a new message."""
    assert verdict(call, answered(200, {"id": "OTHER"}), FIRST, LIMITS).message_id == ""


@given(st.text())
def test_a_usable_id_can_be_written_down_and_named(text: str) -> None:
    kept = usable_id(text)
    assert kept in ("", text)
    assert len(kept.encode()) <= 512
    assert "\n" not in kept


# ---------------------------------------------------------------- what the headers say


@pytest.mark.parametrize(
    ("remaining", "reset", "heard"),
    [
        ("75", "45", Heard(75, timedelta(seconds=45))),
        ("0", "3600", Heard(0, timedelta(hours=1))),
        ("7.9", "1.5", Heard(7, timedelta(seconds=1.5))),
        (" 7 ", " 3 ", Heard(7, timedelta(seconds=3))),
        # The code must work without them: no header, no rule.
        (None, None, None),
        ("75", None, None),
        (None, "45", None),
        # Nonsense is as good as nothing.
        ("75", "", None),
        ("", "45", None),
        ("many", "45", None),
        ("75", "soon", None),
        ("nan", "45", None),
        ("75", "nan", None),
        ("inf", "45", None),
        ("75", "-inf", None),
        ("75", "1e999", None),
        ("75", "-1", None),
        ("0x10", "45", None),
        # A point in time, or milliseconds: no window lasts longer than an hour.
        ("75", "1785000000", Heard(75, timedelta(hours=1))),
        ("75", "1e300", Heard(75, timedelta(hours=1))),
        # Nothing left to wait for still is a moment, so that a full stop cannot spin.
        ("75", "0", Heard(75, timedelta(seconds=1))),
        # Fewer than none are none; so many that the ledger could not count them are many.
        ("-3", "45", Heard(0, timedelta(seconds=45))),
        ("1e300", "45", Heard(1_000_000_000, timedelta(seconds=45))),
        ("99999999999999999999", "45", Heard(1_000_000_000, timedelta(seconds=45))),
    ],
)
def test_what_the_rate_headers_say(remaining: str | None, reset: str | None, heard: Heard | None) -> None:
    """`reset` is seconds from now, never a point in time."""
    assert limits_heard(remaining, reset) == heard


@given(st.one_of(st.none(), st.text(), st.floats().map(str)), st.one_of(st.none(), st.text(), st.floats().map(str)))
def test_no_header_can_break_the_budget(remaining: str | None, reset: str | None) -> None:
    for status in (200, 429):
        heard = limits_heard(remaining, reset, status)
        if heard is not None:
            assert 0 <= heard.remaining <= 1_000_000_000
            assert timedelta(seconds=1) <= heard.reset_in <= timedelta(hours=1)


@pytest.mark.parametrize("status", [200, 204, 400, 404, 429, 401, 500])
@pytest.mark.parametrize("call", CALLS)
def test_headers_are_heard_on_every_answer(call: Call, status: int) -> None:
    headers = {REMAINING: "12", RESET: "34"}
    left = 0 if status == 429 else 12
    assert verdict(call, answered(status, None, headers), FIRST, LIMITS).heard == Heard(left, timedelta(seconds=34))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({RESET: "37"}, timedelta(seconds=37)),
        ({RESET: "37", REMAINING: "5"}, timedelta(seconds=37)),
        ({RESET: "3600"}, timedelta(hours=1)),
        ({RESET: "1785000000"}, timedelta(hours=1)),
        ({}, timedelta(minutes=1)),
        ({RESET: "soon"}, timedelta(minutes=1)),
        ({RESET: "-5"}, timedelta(minutes=1)),
        ({"retry-after": "7"}, timedelta(minutes=1)),  # the API does not send it; a proxy's word is not its own
    ],
)
@pytest.mark.parametrize("call", CALLS)
def test_a_429_is_waited_out_in_full(call: Call, headers: dict[str, str], wait: timedelta) -> None:
    """By the account and by the message; and it costs the message nothing (promise 6)."""
    settlement = verdict(call, answered(429, None, headers), FIRST, LIMITS)
    assert settlement.pause == AccountPause(wait, "rate_limited", trouble=False)
    assert settlement.retry_in == wait
    assert not settlement.counts
    assert settlement.status == 429  # so that its budget slot stays drawn (R12)


def test_only_what_was_not_sent_gives_its_slot_back() -> None:
    """R12: a settlement without a status is one of a call that never left."""
    assert verdict(SEND, NotSent("refused"), FIRST, LIMITS).status is None
    assert verdict(SEND, Dropped(), FIRST, LIMITS).status is None
    for status in (401, 302, 429):
        assert verdict(SEND, answered(status), FIRST, LIMITS).status == status


# ---------------------------------------------------------------- waiting and giving up


@pytest.mark.parametrize(
    ("answer", "first"),
    [(NotSent("refused"), 1.0), (answered(500), 5.0), (answered(401), 30.0), (answered(302), 30.0)],
)
def test_pauses_grow_while_the_trouble_lasts(answer: Answer, first: float) -> None:
    """Twice as long each time, never longer than a quarter of an hour."""

    def paused_for(strikes: int) -> float:
        pause = verdict(SEND, answer, Standing(attempts=0, failing_for=timedelta(0), strikes=strikes), LIMITS).pause
        assert pause is not None
        return pause.duration.total_seconds()

    assert [paused_for(strikes) for strikes in range(4)] == [min(first * 2**n, 900) for n in range(4)]
    assert paused_for(20) == paused_for(1_000_000) == 900


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [answered(500), Unanswered("ReadError")])
def test_after_an_unknown_outcome_nothing_goes_out_before_the_settle_delay(call: Call, answer: Answer) -> None:
    """R1: the API may still carry out what it was asked."""
    settlement = verdict(call, answer, FIRST, LIMITS)
    assert settlement.retry_in >= LIMITS.settle_delay
    late = verdict(call, answer, Standing(attempts=9, failing_for=timedelta(hours=2), strikes=0), LIMITS)
    assert late.retry_in > LIMITS.settle_delay
    assert late.retry_in <= LIMITS.backoff_limit + LIMITS.backoff_first


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("failing_for", "give_up"),
    [(timedelta(hours=23, minutes=59), False), (timedelta(days=1), True), (timedelta(days=9), True)],
)
def test_what_fails_for_too_long_is_given_up(call: Call, failing_for: timedelta, give_up: bool) -> None:
    """After GIVE_UP_AFTER; but trouble of the account never fails a message (promise 8)."""
    standing = Standing(attempts=40, failing_for=failing_for, strikes=0)
    assert verdict(call, answered(500), standing, LIMITS).give_up is give_up
    assert verdict(call, Unanswered("ReadError"), standing, LIMITS).give_up is give_up
    for answer in (NotSent("refused"), Dropped(), answered(401), answered(429), answered(302)):
        assert not verdict(call, answer, standing, LIMITS).give_up


@given(
    attempt=st.integers(1, 5000),
    first=st.floats(0.001, 3600),
    limit=st.floats(0, 86_400),
)
def test_the_wait_between_attempts_is_bounded(attempt: int, first: float, limit: float) -> None:
    """Never negative, never above the limit and its jitter, never below its exponential part, which only grows."""
    limits = Limits(
        backoff_first=timedelta(seconds=first),
        backoff_limit=timedelta(seconds=limit),
        give_up_after=timedelta(0),
        settle_delay=timedelta(0),
    )
    first, limit = limits.backoff_first.total_seconds(), limits.backoff_limit.total_seconds()
    wait = backoff(attempt, limits).total_seconds()
    exponential = first * 2.0 ** min(attempt - 1, 60)
    assert wait >= 0
    assert min(exponential, limit) - 1e-3 <= wait <= min(exponential, limit) + first + 1e-3


def test_the_wait_is_jittered() -> None:
    """Messages that failed together do not come back together."""
    for attempt in (1, 3, 100):
        assert len({backoff(attempt, LIMITS) for _ in range(20)}) > 10


# ---------------------------------------------------------------- what is written beside it


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answered(400), LastError("answered", 400, "some_code", "some words")),
        (answered(400, {}), LastError("answered", 400)),
        (answered(400, {"code": 7, "message": ["no"]}), LastError("answered", 400)),
        (answered(500), LastError("answered", 500, "some_code", "some words")),
        (Unanswered("ReadError"), LastError("unknown", detail="ReadError")),
        (NotSent("ConnectError: no"), LastError("unsent", detail="ConnectError: no")),
    ],
)
def test_what_went_wrong_is_kept(answer: Answer, error: LastError) -> None:
    assert verdict(SEND, answer, FIRST, LIMITS).error == error


@pytest.mark.parametrize("words", ["\ud800 half a pair", "x" * 100_000, "\x00\n\u2028", "ж" * 300])
def test_the_apis_words_can_always_be_written_down(words: str) -> None:
    """Whatever they are, Redis takes them, and they are cut to a length that a person reads."""
    for answer in (answered(400, {"code": words, "message": words}), NotSent(words), Unanswered(words)):
        error = verdict(EDIT, answer, FIRST, LIMITS).error
        assert error is not None
        assert len(error_to_json(error).encode()) < 3000
        assert len(error.detail or "") <= 200

"""The ledger's scripts on a real server and on fakeredis: each may run twice, and every index agrees after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import redis
from account import DIGEST_KEY, LEASE, MINUTE, START, Account, MakeAccount, assert_indexes_agree, create, upsert
from pushledger.errors import LedgerUnavailable, OutcomeUnknown, RefusedJob, TargetChanged, UnknownLocalId
from pushledger.jobs import Create, Delete, Job, Update, Upsert
from pushledger.ledger import (
    GENERAL_TIER,
    AccountPause,
    Budget,
    Claim,
    Heard,
    RateWindow,
    Recorded,
    Settled,
    Settlement,
)
from pushledger.ledger.digests import digest
from pushledger.message import LastError, Receipt

# ---------------------------------------------------------------- every script may run twice


def test_a_record_sent_again_answers_and_changes_nothing(make: MakeAccount) -> None:
    """A command whose reply was lost is sent again by the client: the job id answers as the first run did (R7)."""
    ledger = make()
    first = ledger.record(create(), "job-1")
    before = ledger.snapshot()

    again = ledger.record(create(), "job-1")

    assert first == again == Recorded(Receipt("order:1", 1, "queued"), wake=True)
    assert ledger.snapshot() == before


def test_an_old_record_sent_again_does_not_come_back(make: MakeAccount) -> None:
    """A repetition by job id is no new job, whatever has happened since (R7)."""
    ledger = make()
    ledger.record(create(text="A"), "job-1")
    ledger.record(Update("order:1", "B"), "job-2")
    ledger.run(ledger.exchanges.begin(GENERAL_TIER))

    assert ledger.record(create(text="A"), "job-1") == Recorded(Receipt("order:1", 1, "queued"), wake=False)
    assert ledger.message().text == "B"


def test_a_refused_job_sent_again_is_refused_again(make: MakeAccount) -> None:
    """What is refused leaves no record and no receipt."""
    ledger = make()
    for _ in range(2):
        assert isinstance(ledger.record(Update("order:1", "B"), "job-1"), UnknownLocalId)
    assert not ledger.client.exists(ledger.keys.message("order:1"))


def test_a_claim_sent_again_answers_the_same_and_draws_nothing_twice(make: MakeAccount) -> None:
    """The claim id answers with the same rows and tokens; each message costs one slot (R12)."""
    window = RateWindow(10, timedelta(minutes=1))
    ledger = make(window)
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    first = ledger.claim(2, "claim-1")
    before = ledger.snapshot()

    again = ledger.claim(2, "claim-1")

    assert [c.local_id for c in first.messages] == ["order:0", "order:1"]
    assert again.messages == first.messages
    assert ledger.snapshot() == before
    assert ledger.slots(window) == 2


def test_a_claim_sent_again_after_a_newer_job_carries_the_text_that_was_claimed(make: MakeAccount) -> None:
    """Else the worker sends B, the ledger takes it for A, and a later A costs no call: the visitor keeps seeing B."""
    ledger = make()
    ledger.record(create(text="A"))
    first = ledger.claim(claim_id="claim-1").messages
    ledger.record(Update("order:1", "B"))

    again = ledger.claim(claim_id="claim-1").messages

    assert again == first
    ledger.settle(again[0], "confirmed", "m1")
    claimed = ledger.claim_one()
    assert (claimed.text, claimed.message_id) == ("B", "m1")
    assert not ledger.field("call_text")
    ledger.settle(claimed, "confirmed")


@pytest.mark.parametrize("job", [Delete("order:1"), upsert(text="C"), create(text="C", visitor="visitor-2")])
def test_a_claimed_edit_asked_again_is_the_same_edit(make: MakeAccount, job: Job) -> None:
    """Not even a delete or a new life changes the answer to a claim."""
    ledger = make()
    ledger.deliver()
    ledger.record(Update("order:1", "B"))
    first = ledger.claim(claim_id="claim-1").messages
    ledger.record(Delete("order:1"))
    if not isinstance(job, Delete):
        ledger.record(job)

    (again,) = ledger.claim(claim_id="claim-1").messages

    assert replace(again, target=first[0].target) == first[0], "an edit carries no target"
    ledger.settle(again, "confirmed")
    claimed = ledger.claim_one()
    if isinstance(job, Upsert):
        assert (claimed.message_id, claimed.text, claimed.wish) == ("m1", "C", "show")
    elif isinstance(job, Create):
        assert claimed.doomed == (("pushed", "m1"),)
    else:
        assert (claimed.message_id, claimed.wish) == ("m1", "gone")


def test_a_claimed_removal_asked_again_is_the_same_removal(make: MakeAccount) -> None:
    """A create that comes meanwhile is a new life, after the removal (R2)."""
    ledger = make()
    ledger.deliver()
    ledger.record(Delete("order:1"))
    (first,) = ledger.claim(claim_id="claim-1").messages
    assert (first.wish, first.message_id) == ("gone", "m1")
    ledger.record(create(text="C", visitor="visitor-2"))

    (again,) = ledger.claim(claim_id="claim-1").messages

    assert again.doomed == (("pushed", "m1"),)
    assert again.token == first.token
    ledger.settle(again, "confirmed")
    claimed = ledger.claim_one()
    assert (claimed.text, claimed.message_id) == ("C", "")
    assert "visitor-2" in claimed.target


@pytest.mark.parametrize(
    "settlement",
    [
        Settlement(kind="confirmed", message_id="m1", status=200, heard=Heard(5, timedelta(minutes=1))),
        Settlement(kind="confirmed", status=200),
        Settlement(kind="unknown", error=LastError("unknown", 502), retry_in=timedelta(seconds=3)),
        Settlement(kind="unsent", counts=False, status=429, pause=AccountPause(timedelta(minutes=1), "rate", False)),
        Settlement(kind="unsent", pause=AccountPause(timedelta(minutes=1), "down", True)),
        Settlement(kind="refused", status=400, error=LastError("answered", 400)),
    ],
    ids=["confirmed", "without-id", "unknown", "429", "unsent", "refused"],
)
def test_a_settlement_sent_again_changes_nothing(make: MakeAccount, settlement: Settlement) -> None:
    """The token is no longer current, and an id that is recorded says nothing new (promise 7)."""
    ledger = make(RateWindow(10, timedelta(minutes=1)))
    ledger.record(create())
    claimed = ledger.claim_one()
    exchange = ledger.exchanges.settle([(claimed, settlement)], ledger.budget)
    first = ledger.run(exchange)[0]
    before = ledger.snapshot()

    again = ledger.run(exchange)[0]

    assert first.taken == "settled"
    assert again == Settled("late" if settlement.message_id else "stale", first.state)
    assert ledger.snapshot() == before


def test_a_wake_up_is_asked_for_twice_with_one_answer(make: MakeAccount) -> None:
    """A tick asks whether to wake a delivery: the same asker hears the same, another hears no."""
    ledger = make()
    wake = ledger.exchanges.wake
    assert ledger.run(wake("tick-1", Budget())) == (False, None)
    ledger.record(create())
    ledger.run(ledger.exchanges.begin(GENERAL_TIER))

    assert ledger.run(wake("tick-1", Budget())) == (True, timedelta(0))
    assert ledger.run(wake("tick-1", Budget())) == (True, timedelta(0))
    assert ledger.run(wake("tick-2", Budget())) == (False, timedelta(0))


def test_only_one_wake_up_is_pending(make: MakeAccount) -> None:
    """A wake-up is asked of one recorder, until a delivery has begun."""
    ledger = make()

    def wakes(local_id: str, **options: Any) -> bool:
        result = ledger.record(create(local_id, **options))
        assert isinstance(result, Recorded)
        return result.wake

    assert not wakes("later", not_before=datetime.fromtimestamp(START / 1000 + 60, UTC)), "nothing is due"
    assert [wakes("order:1"), wakes("order:2")] == [True, False]
    ledger.run(ledger.exchanges.begin(GENERAL_TIER))
    assert [wakes("order:3"), wakes("order:4")] == [True, False]


# ---------------------------------------------------------------- tokens, leases, late answers


def test_a_stale_token_changes_nothing(make: MakeAccount) -> None:
    """A worker whose lease ran out cannot write, whatever it brings except a create's id (promise 7)."""
    ledger = make()
    ledger.deliver()
    ledger.record(Update("order:1", "B"))
    slow = ledger.claim_one()
    ledger.pass_time(LEASE)
    assert ledger.claim().messages == ()
    before = ledger.snapshot()

    for kind in ("confirmed", "gone", "unknown", "unsent", "refused"):
        assert ledger.settle(slow, kind) == Settled("stale", "retrying")
    assert ledger.snapshot() == before


def test_a_dead_workers_message_is_taken_back_and_settles_first(make: MakeAccount) -> None:
    """Its call may have been made: nothing goes out before SETTLE_DELAY after the lease (R1)."""
    ledger = make(settle_delay=timedelta(seconds=30))
    ledger.record(create())
    lost = ledger.claim_one()
    ledger.pass_time(LEASE - timedelta(milliseconds=1))
    assert ledger.claim().next_in == timedelta(milliseconds=1)
    ledger.pass_time(timedelta(milliseconds=1))

    claim = ledger.claim()

    assert (claim.messages, claim.next_in) == ((), timedelta(seconds=30))
    message = ledger.message()
    assert (message.state, message.attempts) == ("retrying", 1)
    assert ledger.field("unknown") == lost.token
    ledger.pass_time(timedelta(seconds=30))
    again = ledger.claim_one()
    assert (again.local_id, again.message_id) == ("order:1", "")
    assert ledger.message().resends == 1


def test_a_message_that_loses_its_workers_fails_in_the_end(make: MakeAccount) -> None:
    """A message that kills its workers must not do so for ever."""
    ledger = make(max_claims=2)
    ledger.deliver()
    ledger.record(Update("order:1", "B"))
    for _ in range(2):
        assert len(ledger.claim().messages) == 1
        ledger.pass_time(timedelta(hours=1))
    assert ledger.claim().messages == ()
    assert (ledger.message().state, ledger.message().reason) == ("failed", "worker_lost")


def test_a_late_id_is_adopted_and_the_text_confirmed_anew(make: MakeAccount) -> None:
    """The create did happen: its id is taken, and what it shows is made sure by an edit (R8)."""
    ledger = make()
    ledger.record(create())
    slow = ledger.claim_one()
    ledger.pass_time(LEASE)
    ledger.claim()

    assert ledger.settle(slow, "confirmed", "m1").taken == "late"
    before = ledger.snapshot()
    assert ledger.settle(slow, "confirmed", "m1").taken == "late"

    assert ledger.snapshot() == before
    assert ledger.message().message_id == "m1"
    ledger.pass_time(timedelta(seconds=30))
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text) == ("m1", "A")
    assert ledger.settle(claimed, "confirmed").state == "delivered"
    assert not ledger.client.exists(ledger.keys.message("order:1")), "nothing is unknown any more"


def test_a_late_id_of_a_message_in_the_map_alone_is_removed(make: MakeAccount) -> None:
    """The record has shrunk to its entry: the extra copy is queued for deletion where claims look (R8)."""
    ledger = make()
    ledger.deliver("m1")
    ledger.record(create("order:2"))
    foreign = replace(ledger.claim_one(), local_id="order:1", token="lost.1")

    assert ledger.settle(foreign, "confirmed", "m0") == Settled("late", "queued")
    assert_indexes_agree(ledger.client, ledger.keys)
    claimed = ledger.claim_one()
    assert claimed.doomed == (("pushed", "m0"),)
    assert ledger.settle(claimed, "confirmed").state == "delivered"
    assert ledger.message().message_id == "m1"


def test_a_settlement_repeated_later_does_not_move_what_waits(make: MakeAccount) -> None:
    """A worker hands its outcome in again until Redis answers: what has gone on meanwhile stays as it is."""
    ledger = make()
    ledger.record(create())
    claimed = ledger.claim_one()
    ledger.record(Update("order:1", "B"))
    ledger.settle(claimed, "confirmed", "m1")
    before = ledger.snapshot()
    ledger.pass_time(timedelta(seconds=20))

    assert ledger.settle(claimed, "confirmed", "m1") == Settled("late", "queued")
    assert ledger.snapshot() == before


def test_a_refused_re_send_does_not_fail_a_message_whose_id_came_in(make: MakeAccount) -> None:
    """The re-send was no longer needed: the adopted copy is edited instead (R8)."""
    ledger = make()
    ledger.record(create())
    first = ledger.claim_one()
    ledger.settle(first, "unknown")
    ledger.pass_time(timedelta(seconds=30))
    again = ledger.claim_one()
    ledger.settle(first, "confirmed", "m1")

    assert ledger.settle(again, "refused", status=400) == Settled("settled", "retrying")
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text) == ("m1", "A")


def test_what_may_have_been_doubled_stays_marked(make: MakeAccount) -> None:
    """A re-sent create's other copy cannot be deleted without its id: the deletion is held, until R8 (R6)."""
    ledger = make()
    ledger.record(create())
    first = ledger.claim_one()
    ledger.settle(first, "unknown")
    ledger.pass_time(timedelta(seconds=30))
    ledger.settle(ledger.claim_one(), "confirmed", "m2")
    assert ledger.message().maybe_doubled
    assert ledger.field("state") == "delivered", "the record stays although retention is 0"
    assert not ledger.field("text"), "its text does not"

    ledger.record(Delete("order:1"))
    assert ledger.settle(ledger.claim_one(), "confirmed") == Settled("settled", "held")
    assert ledger.message().reason == "copy_may_remain"
    assert ledger.settle(first, "confirmed", "m1") == Settled("late", "queued")
    assert ledger.settle(ledger.claim_one(), "confirmed") == Settled("settled", "deleted")


def test_another_target_is_refused_while_the_old_create_is_unknown(make: MakeAccount) -> None:
    """Else one visitor's text reaches another's chat (R5)."""
    ledger = make()
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "unknown")
    assert isinstance(ledger.record(upsert(visitor="visitor-2")), TargetChanged)
    ledger.record(Delete("order:1"))
    assert ledger.message().state == "held"
    assert isinstance(ledger.record(create(visitor="visitor-2")), OutcomeUnknown)


def test_a_removal_that_failed_is_tried_again_when_asked(make: MakeAccount) -> None:
    """The visitor still sees it: a second delete is not "unchanged"."""
    ledger = make()
    ledger.deliver()
    ledger.record(Delete("order:1"))
    ledger.settle(ledger.claim_one(), "refused", status=400)
    assert ledger.message().state == "failed"

    assert ledger.receipt(Delete("order:1")).outcome == "queued"
    assert ledger.settle(ledger.claim_one(), "confirmed").state == "deleted"


def test_deleting_what_was_never_sent_is_cancelled_and_costs_no_call(make: MakeAccount) -> None:
    """Promise 3: a message deleted before it was sent costs no call."""
    ledger = make()
    ledger.record(create())
    assert ledger.receipt(Delete("order:1")).outcome == "cancelled"
    assert ledger.claim() == Claim((), None, 0)
    assert ledger.message().state == "deleted"


def test_a_text_that_shows_already_costs_no_call(make: MakeAccount) -> None:
    """A → B → A before B was sent: no call (promise 3); with B in the air: A is sent (R3)."""
    ledger = make()
    ledger.deliver(text="A")
    assert ledger.receipt(Update("order:1", "A")).outcome == "unchanged"
    assert ledger.receipt(Update("order:1", "B")).outcome == "queued"
    assert ledger.receipt(Update("order:1", "A")).outcome == "folded"
    assert ledger.claim().messages == ()
    ledger.record(Update("order:1", "B"))
    in_the_air = ledger.claim_one()
    ledger.record(Update("order:1", "A"))
    ledger.settle(in_the_air, "unknown")
    ledger.pass_time(timedelta(seconds=30))
    assert ledger.claim_one().text == "A"


# ---------------------------------------------------------------- budget and pause


def test_a_window_lets_so_many_calls_through_and_no_more(make: MakeAccount) -> None:
    """A slot is free again one window after the end of its call, not after its start (R12)."""
    window = RateWindow(3, timedelta(minutes=10))
    ledger = make(window)
    for number in range(5):
        ledger.record(create(f"order:{number}"))

    claim = ledger.claim(10)
    assert len(claim.messages) == 3
    assert claim.next_in == LEASE, "a lease that may run out comes first"
    ledger.pass_time(timedelta(seconds=20))
    for number, claimed in enumerate(claim.messages):
        ledger.settle(claimed, "confirmed", f"m{number}")

    assert ledger.claim(10) == Claim((), timedelta(minutes=10), 0)
    ledger.pass_time(timedelta(minutes=10) - timedelta(milliseconds=1))
    assert ledger.claim(10).messages == ()
    ledger.pass_time(timedelta(milliseconds=1))
    assert len(ledger.claim(10).messages) == 2


def test_every_window_binds(make: MakeAccount) -> None:
    """The tightest of several windows decides."""
    ledger = make(RateWindow(2, timedelta(seconds=1)), RateWindow(3, timedelta(hours=1)))
    for number in range(5):
        ledger.record(create(f"order:{number}"))
    for expected in (2, 1, 0):
        claim = ledger.claim(10)
        assert len(claim.messages) == expected
        for claimed in claim.messages:
            ledger.settle(claimed, "confirmed", f"m-{claimed.local_id}")
        ledger.pass_time(timedelta(seconds=1))


def test_a_dead_workers_slot_comes_back_one_window_after_its_lease(make: MakeAccount) -> None:
    """Nobody says when its call ended: at the latest with the lease (R12)."""
    window = RateWindow(1, timedelta(minutes=10))
    ledger = make(window)
    ledger.record(create("order:1"))
    ledger.record(create("order:2"))
    assert len(ledger.claim().messages) == 1
    ledger.pass_time(LEASE + timedelta(minutes=10) - timedelta(milliseconds=1))
    assert ledger.claim().messages == ()
    ledger.pass_time(timedelta(milliseconds=1))
    assert len(ledger.claim().messages) == 1


@pytest.mark.parametrize(("status", "kept"), [(None, 0), (429, 1), (503, 1)])
def test_only_what_was_surely_not_sent_gives_its_slot_back(make: MakeAccount, status: int | None, kept: int) -> None:
    """A 429 was counted by the API, so it keeps its slot (R12)."""
    window = RateWindow(1, timedelta(minutes=10))
    ledger = make(window)
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "unsent", status=status, counts=False)
    assert ledger.slots(window) == kept
    assert ledger.message().state == "queued", "it costs the message no attempt"


def test_what_the_api_says_is_left_tightens_the_budget(make: MakeAccount) -> None:
    """x-sib-ratelimit-remaining of an answer bounds the calls until the reset (promise 6)."""
    ledger = make(RateWindow(100, timedelta(hours=1)))
    for number in range(6):
        ledger.record(create(f"order:{number}"))
    (claimed,) = ledger.claim(1).messages
    ledger.settle(claimed, "confirmed", "m0", heard=Heard(2, timedelta(seconds=40)))

    claim = ledger.claim(10)
    assert len(claim.messages) == 2
    for claimed in claim.messages:
        ledger.settle(claimed, "confirmed", f"m-{claimed.local_id}")
    assert ledger.claim(10) == Claim((), timedelta(seconds=40), 0)
    ledger.pass_time(timedelta(seconds=40))
    assert len(ledger.claim(10).messages) == 3


def test_answers_in_any_order_leave_the_lowest_figure(make: MakeAccount) -> None:
    """An answer counts only the calls processed before it: those in the air are taken off."""
    ledger = make()
    for number in range(8):
        ledger.record(create(f"order:{number}"))
    first, second, third = ledger.claim(3).messages
    minute = timedelta(minutes=1)
    ledger.settle(second, "confirmed", "m1", heard=Heard(4, minute))
    assert ledger.client.hget(f"{ledger.keys.prefix}budget", "remaining") == "2"
    ledger.settle(first, "confirmed", "m0", heard=Heard(5, minute))
    assert ledger.client.hget(f"{ledger.keys.prefix}budget", "remaining") == "2"
    ledger.settle(third, "confirmed", "m2", heard=Heard(3, minute))
    assert len(ledger.claim(10).messages) == 3, "with nothing else in the air the figure is exact"


def pause(seconds: int, trouble: bool = True, after: int = 1) -> AccountPause:
    return AccountPause(timedelta(seconds=seconds), "api_down" if trouble else "rate_limit", trouble, after)


def test_a_429_pauses_the_account_and_ends_by_itself(make: MakeAccount) -> None:
    """Waited out in full, by every process; then all go on at once (promise 6)."""
    ledger = make()
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    (claimed,) = ledger.claim(1).messages
    ledger.settle(claimed, "unsent", status=429, counts=False, pause=pause(50, trouble=False))

    assert ledger.claim(10) == Claim((), timedelta(seconds=50), 0)
    ledger.pass_time(timedelta(seconds=50))
    assert len(ledger.claim(10).messages) == 3
    assert not ledger.client.exists(ledger.keys.pause)


def test_trouble_is_probed_one_call_at_a_time_until_a_success(make: MakeAccount) -> None:
    """An API that is down is not hammered; each failed probe is a strike (promise 8)."""
    ledger = make()
    for number in range(4):
        ledger.record(create(f"order:{number}"))
    (claimed,) = ledger.claim(1).messages
    ledger.settle(claimed, "unsent", pause=pause(10))
    for strikes in (1, 2):
        assert ledger.claim(10).messages == ()
        ledger.pass_time(timedelta(seconds=10))
        claim = ledger.claim(10)
        assert (len(claim.messages), claim.strikes) == (1, strikes)
        assert ledger.claim(10).messages == (), "one probe at a time"
        if strikes == 1:
            ledger.settle(claim.messages[0], "unsent", pause=pause(10))

    assert claim.messages[0].wish == "probe", "a pause is not probed with a create (R11)"
    ledger.settle(claim.messages[0], "confirmed", status=404)
    assert len(ledger.claim(10).messages) == 4
    assert not ledger.client.exists(ledger.keys.pause)


def test_a_dead_prober_frees_the_probe_with_its_lease(make: MakeAccount) -> None:
    """The probe's slot has a lease (R11)."""
    ledger = make()
    for number in range(2):
        ledger.record(create(f"order:{number}"))
    (claimed,) = ledger.claim(1).messages
    ledger.settle(claimed, "unsent", pause=pause(10))
    ledger.pass_time(timedelta(seconds=10))
    assert len(ledger.claim(10).messages) == 1
    ledger.pass_time(LEASE)
    assert len(ledger.claim(10).messages) == 1


def test_calls_that_meet_the_same_trouble_together_are_one_strike(make: MakeAccount) -> None:
    """Ten calls in the air when the API goes down are no ten proofs."""
    ledger = make()
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    for claimed in ledger.claim(3).messages:
        ledger.settle(claimed, "unsent", pause=pause(10))
    assert ledger.client.hget(ledger.keys.pause, "strikes") == "1"


def test_trouble_pauses_only_when_met_in_a_row(make: MakeAccount) -> None:
    """A message that fails alone while others pass pauses nobody (R11)."""
    ledger = make()
    for number in range(5):
        ledger.record(create(f"order:{number}"))
    a, b, c, d, e = ledger.claim(5).messages
    for claimed, fails in ((a, True), (b, True), (c, False), (d, True), (e, True)):
        if fails:
            ledger.settle(claimed, "unknown", pause=pause(10, after=3))
        else:
            ledger.settle(claimed, "confirmed", "m1", status=200)
    assert not ledger.client.exists(ledger.keys.pause)


def test_a_shorter_pause_does_not_end_a_longer_one(make: MakeAccount) -> None:
    """The longest wait counts."""
    ledger = make()
    for number in range(2):
        ledger.record(create(f"order:{number}"))
    a, b = ledger.claim(2).messages
    ledger.settle(a, "unsent", status=429, pause=pause(50, trouble=False))
    ledger.settle(b, "unsent", status=429, pause=pause(20, trouble=False))
    assert ledger.claim(10).next_in == timedelta(seconds=50)


def test_the_high_come_first_and_nothing_is_claimed_before_its_time(make: MakeAccount) -> None:
    """Priority first, then the time at which a message may be tried."""
    ledger = make()
    ledger.record(create("low", priority="low"))
    ledger.record(create("normal"))
    ledger.record(create("high", priority="high"))
    ledger.record(create("later", priority="high", not_before=datetime.fromtimestamp(START / 1000 + 60, UTC)))
    assert [c.local_id for c in ledger.claim().messages] == ["high", "normal", "low"]


# ---------------------------------------------------------------- versions, expiry, retention


def test_versions_let_events_arrive_in_any_order(make: MakeAccount) -> None:
    """Older is stale; equal with the same content is a repetition; a job without one keeps it (R14)."""
    ledger = make()
    assert ledger.receipt(create(text="A", version=5)).outcome == "queued"
    assert ledger.receipt(Update("order:1", "old", version=4)) == Receipt("order:1", 1, "stale")
    assert ledger.receipt(create(text="A", version=5)) == Receipt("order:1", 1, "unchanged")
    assert ledger.receipt(upsert(text="B", version=5)) == Receipt("order:1", 2, "folded")
    assert ledger.receipt(Update("order:1", "C")) == Receipt("order:1", 3, "folded")
    assert ledger.message().version == 5
    ledger.settle(ledger.claim_one(), "confirmed", "m1")
    assert ledger.message().version == 5, "the map keeps it"
    assert ledger.receipt(Update("order:1", "old", version=4)).outcome == "stale"
    assert not ledger.client.exists(ledger.keys.message("order:1")), "a stale job leaves the map alone"


def test_a_deleted_message_is_remembered_with_its_version(make: MakeAccount) -> None:
    """An old event must not bring back what was deleted (R7, R14)."""
    ledger = make(tombstone_for=timedelta(days=7))
    ledger.deliver()
    ledger.record(Delete("order:1", version=9))
    ledger.settle(ledger.claim_one(), "confirmed")

    assert ledger.message().state == "deleted"
    assert not ledger.field("text")
    assert not ledger.field("target")
    assert ledger.receipt(create(version=8)).outcome == "stale"
    assert isinstance(ledger.record(Update("order:1", "B", version=10)), UnknownLocalId)
    assert ledger.receipt(Delete("order:1")).outcome == "unchanged"
    expires = ledger.client.pttl(ledger.keys.message("order:1"))
    assert 0 < expires <= 7 * 24 * 60 * MINUTE
    assert ledger.receipt(create(version=10)).outcome == "queued"
    assert ledger.client.pttl(ledger.keys.message("order:1")) == -1


def test_versions_are_told_apart_up_to_the_last(make: MakeAccount) -> None:
    """2^53 - 1 survives, and its neighbour below is older."""
    ledger = make()
    ledger.record(create(version=2**53 - 1))
    assert ledger.receipt(Update("order:1", "B", version=2**53 - 2)).outcome == "stale"
    ledger.settle(ledger.claim_one(), "confirmed", "m1")
    assert ledger.message().version == 2**53 - 1
    soon = datetime(2200, 1, 1, 12, 0, 0, 123456, UTC)
    ledger.record(create("order:2", version=soon))
    assert ledger.receipt(Update("order:2", "B", version=soon - timedelta(microseconds=1))).outcome == "stale"


def test_far_times_survive(make: MakeAccount) -> None:
    """Milliseconds beyond 14 digits are kept whole."""
    ledger = make()
    far = datetime(9000, 1, 1, 0, 0, 0, 123000, UTC)
    ledger.record(create(not_before=far))
    assert ledger.field("due") == "221845392000123"
    assert ledger.claim().messages == ()


def test_what_is_over_before_it_was_sent_expires_and_costs_no_call(make: MakeAccount) -> None:
    """An unknown create is held instead: it may be visible (R9)."""
    ledger = make()
    soon = datetime.fromtimestamp(START / 1000 + 10, UTC)
    ledger.record(create("order:1", expires_at=soon))
    ledger.record(create("order:2", expires_at=soon))
    unknown, _ = (c := ledger.claim(2).messages)
    ledger.settle(unknown, "unknown")
    ledger.settle(c[1], "unsent")
    ledger.pass_time(timedelta(seconds=30))
    assert ledger.claim().messages == ()
    assert ledger.message(unknown.local_id).state == "held"
    assert ledger.message(c[1].local_id).state == "expired"


def test_without_retention_a_delivered_message_is_its_entry(make: MakeAccount) -> None:
    """Text and visitor leave with the delivery (promise 9); the entry's form is read by more than one hand."""
    ledger = make()
    ledger.record(create("order:1", "A", version=7))
    ledger.settle(ledger.claim_one(), "confirmed", "5b8f/x y")

    target = '{"agentId":"agent-1","visitorId":"visitor-1"}'
    digests = f"{digest(DIGEST_KEY, f'pushed {target}')} {digest(DIGEST_KEY, 'A')}"
    assert ledger.client.hgetall(ledger.keys.map) == {"order:1": f"1 pushed 1 7 {digests} 5b8f/x y"}
    assert not ledger.client.exists(ledger.keys.message("order:1"), ledger.keys.state("delivered"))
    message = ledger.message()
    assert (message.state, message.message_id, message.version, message.text) == ("delivered", "5b8f/x y", 7, None)
    ledger.deliver("m2", "order:2")
    assert cast(str, ledger.client.hget(ledger.keys.map, "order:2")).startswith("1 pushed 1 - ")


def test_with_retention_text_and_visitor_stay_for_so_long(make: MakeAccount) -> None:
    """Counted from the delivery: jobs that find nothing to change do not prolong it."""
    ledger = make(retention=timedelta(hours=2))
    ledger.deliver()
    key = ledger.keys.message("order:1")
    assert (ledger.message().text, ledger.message().visitor_id) == ("A", "visitor-1")
    assert 0 < ledger.client.pttl(key) <= 120 * MINUTE
    assert ledger.client.zrange(ledger.keys.state("delivered"), 0, -1) == ["order:1"]

    ledger.pass_time(timedelta(hours=1))
    assert ledger.receipt(Update("order:1", "A")).outcome == "unchanged"
    assert 0 < ledger.client.pttl(key) <= 60 * MINUTE
    ledger.record(Update("order:1", "B"))
    assert ledger.client.pttl(key) == -1
    ledger.settle(ledger.claim_one(), "confirmed")
    assert 60 * MINUTE < ledger.client.pttl(key) <= 120 * MINUTE


def test_after_retention_the_entry_goes_on_alone(make: MakeAccount) -> None:
    """A stale job on a message whose record has expired leaves it at that; the lists drop what is too old."""
    ledger = make(retention=timedelta(hours=2))
    ledger.record(create(version=5))
    ledger.settle(ledger.claim_one(), "confirmed", "m1")
    ledger.client.delete(ledger.keys.message("order:1"))  # as the server does when the time is over
    ledger.pass_time(timedelta(hours=3))

    assert ledger.receipt(Update("order:1", "old", version=4)).outcome == "stale"
    assert not ledger.client.exists(ledger.keys.message("order:1"))
    ledger.deliver("m2", "order:2")
    assert ledger.client.zrange(ledger.keys.state("delivered"), 0, -1) == ["order:2"]
    assert ledger.message().message_id == "m1"


def test_an_unchanged_job_on_an_entry_brings_the_text_back_for_the_retention(make: MakeAccount) -> None:
    """It came with the text: it is kept and listed as if delivered now, and expires."""
    ledger = make(retention=timedelta(hours=2))
    ledger.deliver()
    ledger.client.delete(ledger.keys.message("order:1"))
    ledger.pass_time(timedelta(hours=3))
    assert ledger.receipt(create(text="A")).outcome == "unchanged"
    assert ledger.message().text == "A"
    assert 0 < ledger.client.pttl(ledger.keys.message("order:1")) <= 120 * MINUTE
    assert ledger.client.zscore(ledger.keys.state("delivered"), "order:1") == ledger.now


def test_a_timeline_tells_what_happened_and_no_text(make: MakeAccount) -> None:
    """Nothing of the text, the visitor or the API's own words."""
    ledger = make()
    ledger.record(create(text="secret text", visitor="secret-visitor"))
    detail = "the API quotes: secret text"
    ledger.settle(ledger.claim_one(), "unknown", error=LastError("unknown", 502, detail=detail))
    ledger.pass_time(timedelta(minutes=1))
    ledger.settle(ledger.claim_one(), "confirmed", "m1", status=200)

    events = ledger.run(ledger.exchanges.timeline("order:1"))
    assert [event.event for event in events] == ["accepted", "send", "unknown", "send", "answered", "delivered"]
    assert "secret" not in repr(events)


# ---------------------------------------------------------------- odd names, odd texts

ODD_IDS = [" a b ", "a\nb", "zażółć 🛒", "x" * 512, "{x}", ":", "a:b", "0", "-", "%d %s", "\\", "'\"", "map", "\x00"]


@pytest.mark.parametrize("local_id", ODD_IDS, ids=ascii)
def test_any_local_id_goes_through_its_whole_life(make: MakeAccount, local_id: str) -> None:
    """An id is any text of 1 to 512 bytes."""
    ledger = make(retention=timedelta(hours=1))
    ledger.deliver("m 1", local_id)
    assert ledger.message(local_id).message_id == "m 1"
    ledger.record(Update(local_id, "B"))
    (claimed,) = ledger.claim().messages
    assert (claimed.local_id, claimed.message_id) == (local_id, "m 1")
    ledger.settle(claimed, "unknown")
    ledger.pass_time(LEASE)
    ledger.record(Delete(local_id))
    (claimed,) = ledger.claim().messages
    assert ledger.settle(claimed, "confirmed").state == "deleted"


@pytest.mark.parametrize(
    "text", ["a\x00b", "'\"]]--[[", "🛒\r\n\t", "0", "-", "%1", "é" * 32_000], ids=lambda t: ascii(t)[:12]
)
def test_any_text_is_handed_to_the_worker_as_it_came(make: MakeAccount, text: str) -> None:
    """Texts are opaque."""
    ledger = make()
    ledger.record(create(text=text))
    claimed = ledger.claim_one()
    assert claimed.text == text
    ledger.settle(claimed, "confirmed", "m1")
    assert ledger.receipt(Update("order:1", text)).outcome == "unchanged"


# ---------------------------------------------------------------- memory (real servers only)


def test_a_full_server_never_costs_a_message_id(real_client: redis.Redis, account: str) -> None:
    """With noeviction and no room left, a new job is refused, but what came of a call is written down."""
    ledger = Account(real_client, account, max_resends=2)
    # Two creates without known outcome: the late id of one changes the record and leaves nothing to free.
    ledger.record(create("order:late"))
    late = ledger.claim_one()
    ledger.settle(late, "unknown")
    ledger.pass_time(timedelta(seconds=30))
    ledger.settle(ledger.claim_one(), "unknown")
    ledger.record(create("order:plain"))
    plain = ledger.claim_one()
    before = cast("dict[str, str]", real_client.config_get("maxmemory*"))
    used = cast(int, real_client.info("memory")["used_memory"])
    real_client.config_set("maxmemory-policy", "noeviction")
    real_client.config_set("maxmemory", max(1, used - 1_000_000))
    try:
        with pytest.raises(LedgerUnavailable):
            ledger.record(create("order:new"))
        assert ledger.settle(plain, "confirmed", "m1") == Settled("settled", "delivered")
        assert ledger.settle(late, "confirmed", "m2") == Settled("late", "retrying")
        assert [ledger.message(i).message_id for i in ("order:plain", "order:late")] == ["m1", "m2"]
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            real_client.config_set(name, before[name])
    assert not isinstance(ledger.record(create("order:new")), RefusedJob)
    assert_indexes_agree(real_client, ledger.keys)


def test_a_hundred_thousand_delivered_messages_are_small(real_client: redis.Redis, account: str) -> None:
    """At most 160 bytes an entry, so that a shop's years of messages fit into a small server."""
    ledger, count = Account(real_client, account, timeline_for=timedelta(0), jobs_for=timedelta(milliseconds=1)), 20
    for number in range(count):
        ledger.deliver(f"5f2b1c9e4d3a2b1c0d{number:06d}", f"order:{number:06d}")
    assert real_client.hlen(ledger.keys.map) == count
    entry = cast(str, real_client.hget(ledger.keys.map, "order:000000"))
    before = cast(int, real_client.info("memory")["used_memory"])
    for start in range(0, 100_000, 5_000):
        numbers = range(start, start + 5_000)
        # The very entries that the script writes, at the pace of a pipeline.
        entries: dict[Any, Any] = {f"order:{n:06d}": entry[:-6] + f"{n:06d}" for n in numbers}
        real_client.hset(ledger.keys.map, mapping=entries)
    assert real_client.hlen(ledger.keys.map) == 100_000
    size = cast(int, real_client.memory_usage(ledger.keys.map, samples=0))
    grown = cast(int, real_client.info("memory")["used_memory"]) - before

    assert size / 100_000 <= 160, f"{size / 100_000:.0f} bytes an entry"
    assert grown / 100_000 <= 160, f"{grown / 100_000:.0f} bytes an entry"
    real_client.delete(ledger.keys.map)

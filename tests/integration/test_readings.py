"""Calls drawn for readings: within the budget, behind messages, and not held back by a pause that is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from account import LEASE, Account, MakeAccount, create
from pushledger.ledger import AccountPause, Claimed, Drawn, Heard, RateWindow

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(make: MakeAccount) -> Account:
    return make()


def draw(ledger: Account, token: str = "", polite: bool = False) -> Drawn:
    return ledger.run(ledger.exchanges.draw(token or ledger.fresh("reading"), ledger.budget, LEASE, polite))


def reading(token: str) -> Claimed:
    nothing = timedelta(0)
    return Claimed(
        local_id="",
        token=token,
        kind="pushed",
        wish="probe",
        text="",
        text_digest="",
        target="",
        message_id="m1",
        shown_digest="",
        doomed=(),
        revision=0,
        attempts=0,
        failing_for=nothing,
        waiting_for=nothing,
    )


def test_a_reading_that_is_drawn_twice_costs_one_call(make: MakeAccount) -> None:
    ledger = make(RateWindow(2, HOUR))
    assert draw(ledger, "same").drawn
    assert draw(ledger, "same").drawn
    assert draw(ledger).drawn
    assert draw(ledger).reason == "budget"


def test_a_polite_reading_lets_a_message_that_can_go_go_first(ledger: Account) -> None:
    ledger.record(create())
    assert draw(ledger, polite=True) == Drawn(False, timedelta(seconds=1), "messages")
    assert draw(ledger).drawn


def test_a_pause_that_is_over_does_not_hold_a_reading_back(ledger: Account) -> None:
    """Nothing is due, so no claim comes to take the pause away."""
    ledger.run(ledger.exchanges.pause(MINUTE, "by hand"))
    assert draw(ledger) == Drawn(False, MINUTE, "paused")
    ledger.pass_time(MINUTE)
    assert draw(ledger).drawn


def test_a_reading_probes_a_pause_for_trouble_whose_time_is_over(ledger: Account) -> None:
    pause = AccountPause(MINUTE, "key_refused", trouble=True)
    assert draw(ledger, "first").drawn
    ledger.settle(reading("first"), "unsent", status=401, pause=pause)
    assert draw(ledger, "second") == Drawn(False, MINUTE, "paused")
    ledger.pass_time(MINUTE)
    assert draw(ledger, "second").drawn
    assert draw(ledger, "third") == Drawn(False, timedelta(seconds=1), "paused"), "one at a time"
    ledger.settle(reading("second"), "confirmed", status=200)
    assert ledger.run(ledger.exchanges.account(ledger.budget)).pause is None
    assert draw(ledger, "third").drawn


def test_a_reading_does_not_probe_beside_a_probe(ledger: Account) -> None:
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "unsent", pause=AccountPause(MINUTE, "unreachable", trouble=True))
    ledger.pass_time(MINUTE)
    assert ledger.claim_one().wish == "probe"
    assert draw(ledger).reason == "paused"


def test_a_reading_leaves_the_share_of_high_priority_alone(make: MakeAccount) -> None:
    ledger = make(RateWindow(2, HOUR))
    ledger.budget = type(ledger.budget)(ledger.budget.windows, 0.5)
    assert draw(ledger).drawn
    assert draw(ledger).reason == "budget"
    ledger.record(create(priority="high"))
    assert ledger.claim_one().local_id == "order:1"


def test_what_an_answer_says_is_left_does_not_count_a_reading_in_the_air(ledger: Account) -> None:
    ledger.record(create())
    claimed = ledger.claim_one()
    assert draw(ledger).drawn
    ledger.settle(claimed, "confirmed", "m1", status=200, heard=Heard(1, MINUTE))
    assert draw(ledger).reason == "budget", "the call that is left is the reading's"

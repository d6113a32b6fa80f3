"""What the people on duty are told: each change once, by one worker, and nothing lost when that one dies."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from account import MINUTE, START, Account, MakeAccount, create, upsert
from pushledger import Delete, LedgerUnavailable
from pushledger.ledger import AccountPause
from pushledger.signals import Signal
from pushledger_worker.embedded import embedded_valkey

LEASE = timedelta(minutes=2)
SECOND = timedelta(seconds=1)
AGE = timedelta(minutes=10)


@pytest.fixture
def ledger(make: MakeAccount) -> Account:
    return make()


def take(
    ledger: Account,
    wanted: int = 100,
    *,
    age: timedelta = timedelta(0),
    done: Collection[str] = (),
    held: Collection[str] = (),
    lease: timedelta = LEASE,
) -> dict[str, Signal]:
    return ledger.run(ledger.exchanges.take_signals(wanted, lease, age, done, held))


def told(ledger: Account, **options: timedelta) -> list[tuple[str, str | None, str | None]]:
    """What a worker takes and tells, at once."""
    taken = take(ledger, **options)  # type: ignore[arg-type]
    take(ledger, 0, done=taken)
    return [(one.kind, one.local_id, one.reason) for one in taken.values()]


def fail(ledger: Account, local_id: str = "order:1") -> None:
    ledger.settle(ledger.claim_one(), "refused", status=400)
    assert ledger.message(local_id).state == "failed"


# ---------------------------------------------------------------- messages


def test_a_message_that_is_failed_or_held_is_a_signal_with_its_reason(ledger: Account) -> None:
    ledger.record(create("an id with blanks: é"))
    fail(ledger, "an id with blanks: é")
    ledger.record(create("order:2"))
    ledger.settle(ledger.claim_one(), "confirmed", status=200)  # an answer without an id
    (failed, held) = take(ledger).values()
    assert (failed.kind, failed.local_id, failed.reason) == ("failed", "an id with blanks: é", "refused")
    assert failed.at == datetime.fromtimestamp(START / 1000, UTC)
    assert (held.kind, held.local_id, held.reason) == ("held", "order:2", "no_message_id")
    assert failed.id != held.id


def test_a_message_that_is_delivered_edited_or_deleted_is_none(ledger: Account) -> None:
    ledger.deliver("m1")
    ledger.record(upsert(text="B"))
    ledger.settle(ledger.claim_one(), "confirmed", status=200)
    ledger.record(Delete("order:1"))
    ledger.settle(ledger.claim_one(), "confirmed", status=200)
    assert not ledger.client.exists(ledger.keys.signals)


def test_what_stays_as_it_is_is_told_once_and_what_fails_again_once_more(ledger: Account) -> None:
    ledger.record(create())
    fail(ledger)
    assert told(ledger) == [("failed", "order:1", "refused")]
    ledger.record(create())  # the same again: it is due once more
    ledger.pass_time(SECOND)
    fail(ledger)
    assert told(ledger) == [("failed", "order:1", "refused")]
    assert told(ledger) == []


def test_a_held_message_whose_wish_changes_is_told_of_once(ledger: Account) -> None:
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "confirmed", status=200)  # an answer without an id
    assert told(ledger) == [("held", "order:1", "no_message_id")]
    ledger.pass_time(SECOND)
    ledger.record(upsert(text="B"))
    assert ledger.message().state == "held"
    assert told(ledger) == []


def test_a_worker_that_is_lost_too_often_is_a_signal_of_the_claim(make: MakeAccount) -> None:
    ledger = make(max_claims=1, max_resends=9)
    ledger.record(create())
    ledger.claim_one()
    ledger.pass_time(timedelta(hours=1))
    ledger.claim()
    assert told(ledger) == [("failed", "order:1", "worker_lost")]


# ---------------------------------------------------------------- who tells them


def test_a_signal_is_one_workers_until_its_lease_is_over(ledger: Account) -> None:
    ledger.record(create())
    fail(ledger)
    first = take(ledger)
    assert take(ledger) == {}, "another worker gets nothing"
    ledger.pass_time(LEASE - SECOND)
    assert take(ledger) == {}
    ledger.pass_time(SECOND)
    assert take(ledger) == first, "its teller died: it is told by another, under the same id"


def test_a_signal_that_is_still_being_told_is_kept(ledger: Account) -> None:
    ledger.record(create())
    fail(ledger)
    mine = take(ledger)
    for _ in range(3):
        ledger.pass_time(LEASE - SECOND)
        assert take(ledger, held=mine) == {}
    ledger.pass_time(LEASE)
    assert take(ledger) == mine


def test_a_worker_that_stops_hands_back_what_it_has_not_told(ledger: Account) -> None:
    for number in range(3):
        ledger.record(create(f"order:{number}"))
    for claimed in ledger.claim().messages:
        ledger.settle(claimed, "refused", status=400)
    one, *others = take(ledger)
    take(ledger, 0, done=[one], held=others, lease=timedelta(0))
    assert list(take(ledger)) == others


def test_what_is_done_does_not_come_back_by_being_held(ledger: Account) -> None:
    ledger.record(create())
    fail(ledger)
    mine = take(ledger)
    take(ledger, 0, done=mine)
    take(ledger, 0, done=mine, held=mine)
    ledger.pass_time(LEASE)
    assert take(ledger) == {}


def test_as_many_are_taken_as_are_asked_for_oldest_first(ledger: Account) -> None:
    for number in range(5):
        ledger.record(create(f"order:{number}"))
        fail(ledger, f"order:{number}")
        ledger.pass_time(SECOND)
    assert [one.local_id for one in take(ledger, 2).values()] == ["order:0", "order:1"]
    assert [one.local_id for one in take(ledger, 9).values()] == ["order:2", "order:3", "order:4"]


def test_signals_that_nobody_takes_are_bounded_and_the_newest_stay(ledger: Account) -> None:
    for number in range(1005):
        ledger.record(create(f"order:{number}"))
    for claimed in ledger.claim(2000).messages:
        ledger.pass_time(timedelta(milliseconds=1))
        ledger.settle(claimed, "refused", status=400)
    taken = [one.local_id for one in take(ledger, 2000).values()]
    assert len(taken) == 1000
    newest = ledger.run(ledger.exchanges.ids("failed", 1000))
    assert set(taken) == set(newest)


# ---------------------------------------------------------------- the account


def pause(ledger: Account, reason: str, seconds: float = 60, trouble: bool = True) -> None:
    """Let a call meet the account's trouble."""
    ledger.record(create(ledger.fresh("order:")))
    wait = AccountPause(timedelta(seconds=seconds), reason, trouble=trouble)
    ledger.settle(ledger.claim_one(), "unsent", status=401, counts=False, pause=wait)


def test_a_pause_is_told_when_it_begins_and_when_it_ends_by_hand(ledger: Account) -> None:
    ledger.run(ledger.exchanges.pause(timedelta(hours=1), "sale: no messages"))
    (signal,) = (taken := take(ledger)).values()
    assert (signal.kind, signal.reason) == ("paused", "sale: no messages")
    assert signal.until == datetime.fromtimestamp(START / 1000 + 3600, UTC)
    take(ledger, 0, done=taken)
    ledger.pass_time(SECOND)
    assert told(ledger) == [], "it stands, and was told"
    ledger.run(ledger.exchanges.pause(None, ""))
    assert told(ledger) == [("resumed", None, "sale: no messages")]
    assert told(ledger) == []


def test_a_pause_that_ends_by_its_time_is_told_although_nothing_waits(ledger: Account) -> None:
    ledger.run(ledger.exchanges.pause(timedelta(minutes=1), "by hand"))
    told(ledger)
    ledger.pass_time(timedelta(minutes=1))
    assert told(ledger) == [("resumed", None, "by hand")]


def test_trouble_is_over_only_when_an_answer_says_so_however_often_it_is_probed(ledger: Account) -> None:
    pause(ledger, "refused")
    assert told(ledger) == [("paused", None, "refused")]
    ledger.pass_time(timedelta(minutes=2))
    assert told(ledger) == [], "its time is over, the trouble may not be"
    probe = ledger.claim_one()
    again = AccountPause(timedelta(minutes=1), "refused", trouble=True)
    ledger.settle(probe, "unsent", status=401, counts=False, pause=again)
    assert told(ledger) == []
    ledger.pass_time(timedelta(minutes=2))
    ledger.settle(ledger.claim_one(), "gone", status=404)
    assert told(ledger) == [("resumed", None, "refused")]


def test_another_reason_is_told_too(ledger: Account) -> None:
    pause(ledger, "unreachable", trouble=False)
    told(ledger)
    ledger.run(ledger.exchanges.pause(timedelta(hours=1), "by hand"))
    assert told(ledger) == [("paused", None, "by hand")]


def test_what_was_noted_waits_for_the_first_worker(ledger: Account) -> None:
    """Nobody looked while it happened: the message's signal is there, and the pause as it stands."""
    ledger.record(create())
    fail(ledger)
    pause(ledger, "refused")
    assert told(ledger) == [("failed", "order:1", "refused"), ("paused", None, "refused")]


# ---------------------------------------------------------------- falling behind


def test_the_oldest_due_is_told_once_when_it_passes_the_age_and_once_when_that_is_over(ledger: Account) -> None:
    ledger.record(create())
    ledger.pass_time(AGE - SECOND)
    assert told(ledger, age=AGE) == []
    ledger.pass_time(SECOND)
    taken = take(ledger, age=AGE)
    (overdue,) = taken.values()
    assert (overdue.kind, overdue.since) == ("overdue", datetime.fromtimestamp(START / 1000, UTC))
    take(ledger, 0, done=taken, age=AGE)
    ledger.pass_time(timedelta(hours=1))
    assert told(ledger, age=AGE) == []
    ledger.settle(ledger.claim_one(), "confirmed", "m1", status=200)
    assert told(ledger, age=AGE) == [("caught_up", None, None)]
    assert told(ledger, age=AGE) == []


def test_a_backlog_that_stays_near_the_age_is_not_told_of_again_and_again(ledger: Account) -> None:
    ledger.record(create("order:1"))
    ledger.pass_time(timedelta(minutes=4))
    ledger.record(create("order:2"))
    ledger.pass_time(timedelta(minutes=6))
    assert [kind for kind, *_ in told(ledger, age=AGE)] == ["overdue"]
    ledger.settle(ledger.claim(1).messages[0], "confirmed", "m1", status=200)
    assert told(ledger, age=AGE) == [], "the oldest is six minutes old now: more than half"
    ledger.pass_time(timedelta(minutes=5))
    assert told(ledger, age=AGE) == []


def test_without_an_age_nothing_is_told_and_what_another_worker_told_stands(ledger: Account) -> None:
    ledger.record(create())
    ledger.pass_time(timedelta(days=1))
    assert told(ledger) == []
    assert [kind for kind, *_ in told(ledger, age=AGE)] == ["overdue"]
    ledger.settle(ledger.claim_one(), "confirmed", "m1", status=200)
    assert told(ledger) == []
    assert [kind for kind, *_ in told(ledger, age=AGE)] == ["caught_up"]


def test_a_message_that_waits_for_its_time_is_not_overdue(ledger: Account) -> None:
    later = datetime.fromtimestamp((START + 60 * MINUTE) / 1000, UTC)
    ledger.record(create(not_before=later))
    ledger.pass_time(timedelta(minutes=50))
    assert told(ledger, age=AGE) == []


# ---------------------------------------------------------------- scripts that run twice


def test_a_change_that_is_written_twice_is_told_once(ledger: Account, ledger_client: redis.Redis) -> None:
    """As redis-py does when a reply is lost: each script runs again as it was."""
    ledger.record(create())
    claimed = ledger.claim_one()
    for _ in range(2):
        ledger.settle(claimed, "refused", status=400)
    for _ in range(2):
        ledger.run(ledger.exchanges.pause(timedelta(hours=1), "by hand"))
        take(ledger, 0, age=AGE)
    assert told(ledger) == [("failed", "order:1", "refused"), ("paused", None, "by hand")]


def test_what_is_forgotten_is_not_told_of(ledger: Account) -> None:
    for name in ("order:1", "1"):
        ledger.record(create(name))
        fail(ledger, name)
    ledger.run(ledger.exchanges.forget("1"))
    assert told(ledger) == [("failed", "order:1", "refused")]


def test_a_full_server_hands_them_out_all_the_same(tmp_path: Path) -> None:
    """Else each look would fail, and the tick that looks would be quiet for a while."""
    with embedded_valkey(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True, protocol=2) as client:
        ledger = Account(client, "full")
        ledger.record(create())
        fail(ledger)
        ledger.record(create("order:2"))
        ledger.pass_time(AGE)
        take(ledger, 0)  # the script is known to the server
        client.config_set("maxmemory", 1)
        with pytest.raises(LedgerUnavailable):
            ledger.record(create("order:3"))
        taken = take(ledger, age=AGE)
        assert [signal.kind for signal in taken.values()] == ["failed", "overdue"]
        assert take(ledger, done=list(taken), age=AGE) == {}

"""What an earlier version left in Redis is read, carried on and brought to its end by this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis
from account import Account, assert_indexes_agree, create, upsert
from pushledger.jobs import Delete, Update
from pushledger.ledger.exchanges import Decided
from stored_account import NAME, bring_about, load

FILES = sorted((Path(__file__).parents[1] / "stored").glob("format-*.json"))
LEFT = {
    "shrunk": "delivered",
    "kept": "delivered",
    "refused": "failed",
    "held": "held",
    "unwanted": "held",
    "resent": "delivered",
    "deleted": "deleted",
    "expired": "expired",
    "gone": "failed",
    "sending": "sending",
    "retrying": "retrying",
    "edited": "queued",
    "first of a lane": "queued",
    "second of a lane": "queued",
}


@pytest.fixture
def client(valkey_url: str) -> Any:
    """A database of its own: a file names the account itself."""
    with redis.Redis.from_url(valkey_url, db=8, decode_responses=True, protocol=2) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def left(client: redis.Redis, request: pytest.FixtureRequest) -> Account:
    return load(client, request.param)


def decide(ledger: Account, verb: Any, local_id: str) -> str:
    result = ledger.run(ledger.exchanges.decide(verb, local_id, ledger.fresh("decision"), {}))
    assert isinstance(result, Decided), result
    return result.state


def work(ledger: Account) -> list[tuple[str, str]]:
    """Let all calls succeed until nothing waits; what was called for, in its order."""
    calls = []
    for _ in range(50):
        claim = ledger.claim()
        for claimed in claim.messages:
            calls.append((claimed.local_id or claimed.wish, claimed.text or claimed.message_id))
            ledger.settle(claimed, "confirmed", "" if claimed.message_id else f"new-{claimed.local_id}", status=200)
        if claim.next_in is None or claim.next_in.total_seconds() > 600:
            break
        ledger.pass_time(claim.next_in)
    return calls


def test_every_message_is_read_as_it_was_left(left: Account) -> None:
    assert FILES, "there is a file for each format"
    messages = left.run(left.exchanges.get(list(LEFT)))
    assert {message.local_id: message.state for message in messages if message} == LEFT
    assert_indexes_agree(left.client, left.keys)
    found = {message.local_id: message for message in messages if message}
    assert found["shrunk"].message_id == "m-shrunk"
    assert (found["kept"].text, found["kept"].message_id) == ("A", "m-kept")
    assert found["resent"].maybe_doubled
    assert [presence.agent.agent_id for presence in left.run(left.exchanges.presences())] == ["a-liz"]
    for local_id in LEFT:
        assert left.run(left.exchanges.timeline(local_id)), local_id


def test_what_waits_is_carried_to_its_end(left: Account) -> None:
    calls = dict(work(left))
    assert calls["edited"] == "B"
    assert calls["sending"] == "on its way", "its worker is gone, and it is sent again"
    assert list(calls).index("first of a lane") < list(calls).index("second of a lane")
    messages = left.run(left.exchanges.get(["edited", "sending", "retrying", "first of a lane", "second of a lane"]))
    assert [message.state for message in messages if message] == ["delivered"] * 5
    assert_indexes_agree(left.client, left.keys)


def test_people_and_shops_go_on_with_it(left: Account) -> None:
    assert left.receipt(upsert("shrunk", "A")).outcome == "unchanged"
    assert left.receipt(Update("kept", "B")).outcome == "queued"
    assert left.receipt(Delete("deleted", version=6)).outcome == "stale"
    assert left.receipt(create("gone", "C")).outcome == "queued"
    assert decide(left, "retry", "refused") == "queued"
    assert decide(left, "resend", "held") == "queued"
    assert decide(left, "discard", "unwanted") == "deleted"
    assert decide(left, "retry", "expired") == "queued"
    calls = dict(work(left))
    assert {name: calls[name] for name in ("kept", "gone", "refused", "held", "expired")} == {
        **dict.fromkeys(("refused", "held", "expired"), "A"),
        "kept": "B",
        "gone": "C",
    }
    assert "shrunk" not in calls
    assert_indexes_agree(left.client, left.keys)


def test_what_a_later_version_adds_to_a_record_survives_this_one(left: Account) -> None:
    """Both versions run side by side while a fleet is being replaced."""
    key = left.keys.message("edited")
    left.client.hset(key, "of_a_later_version", "x")
    left.record(Update("edited", "C"))
    work(left)
    assert left.client.hget(key, "of_a_later_version") == "x"


def test_a_change_of_the_format_is_noticed(client: redis.Redis) -> None:
    """Then it needs a number and a file of its own, and must read the older ones; see docs/record.md."""

    def shape() -> dict[str, Any]:
        keys = [key for key in client.scan_iter(f"pushledger:{{{NAME}}}:*") if ":claim:" not in key]
        steady = [key for key in keys if not key.endswith((":wake", ":signals", ":paced", ":stats"))]
        return {key: sorted(client.hkeys(key)) if client.type(key) == "hash" else client.type(key) for key in steady}

    bring_about(client)
    written = shape()
    client.flushdb()
    load(client, FILES[-1])
    assert shape() == written

"""One account's ledger with a clock of its own, for tests of the scripts, and what must always agree in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar, cast

import redis
from pushledger.jobs import Create, Job, Upsert
from pushledger.ledger import (
    Budget,
    Claim,
    Claimed,
    LedgerPolicy,
    RateWindow,
    Recorded,
    RecordResult,
    Settled,
    Settlement,
)
from pushledger.ledger.connection import Connection
from pushledger.ledger.exchange import Exchange
from pushledger.ledger.exchanges import Exchanges
from pushledger.ledger.keys import PRIORITIES, Keys
from pushledger.message import Message, Receipt

T = TypeVar("T")
START = 1_800_000_000_000
SECOND = 1000
MINUTE = 60 * SECOND
LEASE = timedelta(minutes=1)
DIGEST_KEY = b"a key for the tests"
NEVER_EXPIRE = {
    *("map", "leases", "pause", "streak", "stats", "digest_key", "refused", "parked"),
    *("lane_number", "turn", "passed", "audit", "history", "heartbeat", "rate", "signals", "signalled"),
    *("errands", "presence", "agents"),
}


class Account:
    """One account's ledger with a clock of its own."""

    def __init__(self, client: redis.Redis, name: str, *windows: RateWindow, **policy: Any) -> None:
        self.client, self.keys, self.budget, self.now = client, Keys(name), Budget(windows), START
        self.policy = LedgerPolicy(**policy)
        self._connection, self.numbers = Connection(client), itertools.count(1)

    @property
    def exchanges(self) -> Exchanges:
        return Exchanges(self.keys, self.policy, now=self.now)

    def run(self, exchange: Exchange[T]) -> T:
        return self._connection.run(exchange)

    def fresh(self, name: str) -> str:
        return f"{name}{next(self.numbers)}"

    def pass_time(self, duration: timedelta) -> None:
        self.now += round(duration.total_seconds() * 1000)

    def record(self, job: Job, job_id: str = "") -> RecordResult:
        return self.run(self.exchanges.record([(job_id or self.fresh("job"), self.fresh("life"), job)], DIGEST_KEY))[0]

    def receipt(self, job: Job) -> Receipt:
        result = self.record(job)
        assert isinstance(result, Recorded), result
        return result.receipt

    def claim(self, wanted: int = 10, claim_id: str = "", lease: timedelta = LEASE) -> Claim:
        return self.run(self.exchanges.claim(claim_id or self.fresh("claim"), wanted, lease, self.budget))

    def claim_one(self) -> Claimed:
        (claimed,) = self.claim().messages
        return claimed

    def settle(self, claimed: Claimed, kind: str, message_id: str = "", **options: Any) -> Settled:
        settlement = Settlement(kind=cast(Any, kind), message_id=message_id, **options)
        return self.run(self.exchanges.settle([(claimed, settlement)], self.budget))[0]

    def message(self, local_id: str = "order:1") -> Message:
        found = self.run(self.exchanges.get([local_id]))[0]
        assert found is not None
        return found

    def field(self, name: str, local_id: str = "order:1") -> str:
        return cast(str, self.client.hget(self.keys.message(local_id), name)) or ""

    def deliver(self, message_id: str = "m1", local_id: str = "order:1", text: str = "A") -> None:
        """Create a message and have it confirmed."""
        self.record(create(local_id, text))
        (claimed,) = self.claim().messages
        assert self.settle(claimed, "confirmed", message_id, status=200).state == "delivered"

    def slots(self, window: RateWindow) -> int:
        key = f"{self.keys.prefix}slots:{round(window.period.total_seconds() * 1000)}"
        return self.client.zcard(key)

    def snapshot(self) -> dict[str, object]:
        """All that the server holds of the account."""
        return {key: self._value(key) for key in _account_keys(self.client, self.keys)}

    def _value(self, key: str) -> object:
        kind = self.client.type(key)
        if kind == "hash":
            return self.client.hgetall(key)
        if kind == "zset":
            return self.client.zrange(key, 0, -1, withscores=True)
        return self.client.lrange(key, 0, -1) if kind == "list" else self.client.get(key)


def _account_keys(client: redis.Redis, keys: Keys) -> list[str]:
    pattern = keys.prefix.replace("[", "\\[") + "*"
    return sorted(cast("Iterator[str]", client.scan_iter(match=pattern, count=1000)))


def visitor_of(local_id: str) -> str:
    """A visitor of its own for each message, so that no lane holds it back."""
    return local_id.replace("order:", "visitor-")


def create(local_id: str = "order:1", text: str = "A", visitor: str | None = None, **options: Any) -> Create:
    return Create(local_id, visitor or visitor_of(local_id), text, agent_id="agent-1", **options)


def upsert(local_id: str = "order:1", text: str = "A", visitor: str | None = None, **options: Any) -> Upsert:
    return Upsert(local_id, visitor or visitor_of(local_id), text, agent_id="agent-1", **options)


def assert_indexes_agree(client: redis.Redis, keys: Keys) -> None:
    """Every message is in just the indexes that its state demands; every key expires or has a reason not to."""
    due = {p: dict(cast(Any, client.zrange(keys.due(p), 0, -1, withscores=True))) for p in PRIORITIES}
    states = ("queued", "retrying", "held", "failed", "expired", "deleted", "delivered")
    listed = {s: dict(cast(Any, client.zrange(keys.state(s), 0, -1, withscores=True))) for s in states}
    leases = dict(cast(Any, client.zrange(keys.leases, 0, -1, withscores=True)))
    entries = cast("dict[str, str]", client.hgetall(keys.map))
    records: dict[str, dict[str, str]] = {}
    timelines: dict[str, int] = {}
    lanes: dict[str, list[str]] = {}
    for key in _account_keys(client, keys):
        name, _, rest = key.removeprefix(keys.prefix).partition(":")
        expires = client.pttl(key)
        if expires == -2:  # it was over between the listing and now
            continue
        if name == "message":
            records[rest] = record = cast("dict[str, str]", client.hgetall(key))
            marked = record.get("unknown") or record.get("unknown_before") or record.get("resent")
            rests = record["state"] in ("deleted", "failed", "expired")
            rests = rests or (record["state"] == "delivered" and not marked)
            assert (expires > 0) == bool(rests), f"{rest!r} is {record['state']} and expires in {expires} ms"
        elif name == "timeline":
            timelines[rest] = expires
        elif name == "lane":
            lanes[rest] = cast("list[str]", client.zrange(key, 0, -1))
        elif name in ("jobs", "claim", "wake", "budget", "probe", "paced"):
            assert expires > 0, f"{key} expires"
        else:
            assert name in NEVER_EXPIRE or (name, rest in (*PRIORITIES, *states) or rest.split(":")[0].isdigit()) in (
                ("due", True),
                ("state", True),
                ("slots", True),
            ), f"{key} has a reason to live"
    for local_id, record in records.items():
        state, waits = record["state"], record["state"] in ("queued", "retrying")
        for priority in PRIORITIES:
            queue = record.get("boost") or record["priority"]
            expected = float(record["due"]) if waits and queue == priority else None
            assert due[priority].get(local_id) == expected, f"{local_id!r} is {state}: due {priority}"
        stands = local_id in lanes.get(record.get("lane", ""), ())
        assert stands == (record.get("laned") == "1"), f"{local_id!r} stands in its lane as its record says"
        assert leases.get(local_id) == (float(record["lease"]) if state == "sending" else None)
        for name, members in listed.items():
            if name == "delivered":
                assert local_id not in members or state == name
            else:
                assert members.get(local_id) == (float(record["since"]) if state == name else None), (name, record)
        assert (local_id in entries) == bool(record.get("message_id")), "the map knows the current copy's id"
    for local_id in itertools.chain(*due.values(), *lanes.values(), leases, *(listed[s] for s in states[:5])):
        assert local_id in records, f"{local_id!r} is in an index and has no record"
    for entry in entries.values():
        assert len(entry.split(" ", 6)) == 7, entry
    for local_id, expires in timelines.items():
        resting = local_id not in records or records[local_id]["state"] in ("deleted", "delivered")
        assert (expires > 0) == resting, f"the timeline of {local_id!r} expires in {expires} ms"


MakeAccount = Callable[..., Account]

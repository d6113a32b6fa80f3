"""What a shop in any language, and a person with curl, can do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from account import Account, create
from pushledger.ledger import GENERAL_TIER, Settlement

pytestmark = pytest.mark.anyio

ORDER = {"local_id": "order:1", "visitor_id": "v-1", "text": "Order received", "agent_id": "a"}
ODD = 'a/../?b=<script>alert("é")</script>#\n'


async def ask(api: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    answer = await api.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def tell(api: httpx.AsyncClient, path: str, expected: int = 200, **body: Any) -> Any:
    answer = await api.post(path, json=body)
    assert answer.status_code == expected, answer.text
    assert answer.headers["content-type"] == ("application/problem+json" if expected >= 400 else "application/json")
    return answer.json()


def fail(ledger: Account, *local_ids: str) -> None:
    for local_id in local_ids:
        ledger.record(create(local_id))
        ledger.settle(ledger.claim_one(), "refused", status=400)


def hold(ledger: Account, local_id: str) -> None:
    ledger.record(create(local_id))
    assert ledger.settle(ledger.claim_one(), "unknown").state == "held"


async def test_a_message_is_created_changed_and_deleted(api: httpx.AsyncClient) -> None:
    """Each answered with a receipt; the same job again does no harm."""
    made = await tell(api, "/v1/messages/create", **ORDER, job_id="j1", version=1)
    assert made == {"local_id": "order:1", "revision": 1, "outcome": "queued"}
    assert await tell(api, "/v1/messages/create", **ORDER, job_id="j1", version=1) == made
    changed = await tell(api, "/v1/messages/update", local_id="order:1", text="Shipped", version=2)
    assert changed["outcome"] == "folded"
    assert (await tell(api, "/v1/messages/upsert", **ORDER, version=1))["outcome"] == "stale"
    found = await ask(api, "/v1/message", local_id="order:1")
    assert (found["state"], found["text"], found["visitor_id"], found["version"]) == ("queued", "Shipped", "v-1", 2)
    assert (await tell(api, "/v1/messages/delete", local_id="order:1"))["outcome"] == "cancelled"
    assert (await ask(api, "/v1/message", local_id="order:1"))["state"] == "deleted"


async def test_any_local_id_comes_through_as_it_is(api: httpx.AsyncClient) -> None:
    """In a query and in a body; slashes, dots, quotes and line ends are nothing special."""
    await tell(api, "/v1/messages/create", **{**ORDER, "local_id": ODD})
    assert (await ask(api, "/v1/message", local_id=ODD))["local_id"] == ODD
    assert (await ask(api, "/v1/message/timeline", local_id=ODD))["events"][0]["event"] == "accepted"
    assert [one["local_id"] for one in (await ask(api, "/v1/messages", state="queued"))["messages"]] == [ODD]


async def test_many_jobs_are_recorded_at_once(api: httpx.AsyncClient) -> None:
    """An answer for each, in their order; one that is refused stops no other, one that is malformed stops all."""
    jobs = [{"verb": "create", **ORDER}, {"verb": "update", "local_id": "nowhere", "text": "x"}]
    answers = (await tell(api, "/v1/jobs", jobs=jobs))["answers"]
    assert answers[0]["receipt"]["outcome"] == "queued"
    assert (answers[1]["problem"]["status"], answers[1]["problem"]["type"]) == (404, "urn:pushledger:UnknownLocalId")
    bad = [{"verb": "create", **ORDER, "local_id": "order:2"}, {"verb": "create", **ORDER, "text": " "}]
    assert (await tell(api, "/v1/jobs", 422, jobs=bad))["field"] == "jobs.1.text"
    assert (await api.get("/v1/message", params={"local_id": "order:2"})).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("messages/create", {**ORDER, "text": " "}, 422, "text"),
        ("messages/create", {**ORDER, "group_id": "g"}, 422, "agent_id"),
        ("messages/create", {**ORDER, "color": "red"}, 422, "color"),
        ("messages/create", {**ORDER, "not_before": "tomorrow"}, 422, "not_before"),
        ("messages/create", {**ORDER, "version": 2**53}, 422, "version"),
        ("messages/create", {**ORDER, "local_id": "x" * 513}, 422, "local_id"),
        ("messages/update", {"local_id": "nowhere", "text": "x"}, 404, "local_id"),
        ("decisions/retry", {"local_id": "nowhere"}, 404, "local_id"),
        ("decisions/retry", {"local_id": "order:1", "why": "a\nb"}, 422, "why"),
        ("decisions/resolve", {"local_id": "order:1", "message_id": ".."}, 422, "message_id"),
        ("decisions/forget", {"local_id": "nowhere"}, 404, "local_id"),
        ("decisions/adopt", {"local_id": "x", "message_id": "m", "version": "soon"}, 422, "version"),
        ("pause", {"seconds": -1}, 422, "seconds"),
        ("bulk", {"action": "retry", "state": "failed", "cursor": "nonsense"}, 422, "cursor"),
    ],
)
async def test_bad_input_is_told_with_field_and_rule(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    """As problem details; no value is quoted, as it may be a text."""
    problem = await tell(api, f"/v1/{path}", status, **body)
    assert (problem["status"], problem["field"]) == (status, field)
    assert problem["rule"]


async def test_what_does_not_fit_the_ledger_is_a_conflict(api: httpx.AsyncClient, ledger: Account) -> None:
    """Refused jobs and decisions alike."""
    await tell(api, "/v1/messages/create", **ORDER)
    other = await tell(api, "/v1/messages/create", 409, **{**ORDER, "text": "Another"})
    assert other["type"] == "urn:pushledger:AlreadyExists"
    assert (await tell(api, "/v1/decisions/retry", 409, local_id="order:1"))["rule"] == "not_failed"


async def test_malformed_requests_and_unknown_paths_are_problems_too(api: httpx.AsyncClient) -> None:
    """Every error has the same shape."""
    for answer, status in (
        (await api.get("/nowhere"), 404),
        (await api.get("/v1/bulk/x"), 404),
        (await api.put("/v1/overview"), 405),
        (await api.post("/v1/pause", content="{", headers={"content-type": "application/json"}), 422),
        (await api.post("/v1/jobs", content="x" * (8 * 2**20 + 1)), 413),
        (await api.get("/v1/messages", params={"state": "nowhere"}), 422),
    ):
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_without_length_is_bounded_too(api: httpx.AsyncClient) -> None:
    """One that comes in pieces."""

    async def pieces() -> Any:
        for _ in range(9):
            yield b"x" * 2**20

    answer = await api.post("/v1/jobs", content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


async def test_lists_go_on_with_a_cursor(api: httpx.AsyncClient, ledger: Account) -> None:
    """Newest first, filtered, to the end."""
    for number in range(5):
        fail(ledger, f"order:{number}")
        ledger.pass_time(timedelta(seconds=1))
    seen, cursor = list[str](), None
    while True:
        page = await ask(api, "/v1/messages", state="failed", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [one["local_id"] for one in page["messages"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [f"order:{number}" for number in (4, 3, 2, 1, 0)]
    assert page["messages"][0]["reason"] == "refused"
    filtered = await ask(api, "/v1/messages", state="failed", prefix="order:3", reason="refused")
    assert [one["local_id"] for one in filtered["messages"]] == ["order:3"]
    oldest = await ask(api, "/v1/messages", state="failed", order="oldest", limit=1)
    assert oldest["messages"][0]["local_id"] == "order:0"


async def search(api: httpx.AsyncClient, **question: str) -> dict[str, Any]:
    """A search that looked at everything: each look is bounded in time, so a busy machine may need another one."""
    for _ in range(50):
        found: dict[str, Any] = await ask(api, "/v1/search", **question)
        if found["cursor"] is None:
            break
    return found


async def test_a_search_names_the_exact_id_first(api: httpx.AsyncClient, ledger: Account) -> None:
    """Then the others that begin so; by the API's id and by visitor too."""
    fail(ledger, "order:11", "order:1", "order:12")
    ledger.deliver("m-2", "order:2")
    found = await search(api, by="prefix", q="order:1")
    assert found["messages"][0]["local_id"] == "order:1"
    assert {one["local_id"] for one in found["messages"]} == {"order:1", "order:11", "order:12"}
    assert (found["looked_at"], found["of"], found["cursor"]) == (4, 4, None)
    by_id = await search(api, by="message_id", q="m-2")
    assert [one["local_id"] for one in by_id["messages"]] == ["order:2"]
    await tell(api, "/v1/messages/create", **{**ORDER, "local_id": "order:3"})
    by_visitor = await search(api, by="visitor_id", q="v-1")
    assert [one["local_id"] for one in by_visitor["messages"]] == ["order:3"]


async def test_a_message_says_why_it_waits(api: httpx.AsyncClient) -> None:
    """With its own reasons and those of the account."""
    await tell(api, "/v1/messages/create", **ORDER, not_before="2999-01-01T00:00:00+00:00")
    await tell(api, "/v1/pause", seconds=60, reason="a move")
    waits = (await ask(api, "/v1/message/waits", local_id="order:1"))["waits"]
    assert [wait["reason"] for wait in waits] == ["paused", "not_before"]
    assert (await ask(api, "/v1/message", local_id="order:1"))["waits"] == waits
    assert (await ask(api, "/v1/message/id", local_id="order:1")) == {"message_id": None}


async def test_people_decide_and_the_trail_says_who(api: httpx.AsyncClient, ledger: Account) -> None:
    """Retry, discard, resend, resolve, adopt, forget, pause, resume."""
    fail(ledger, "f1", "f2")
    for local_id in ("h1", "h2"):
        hold(ledger, local_id)
    decide = "/v1/decisions"
    assert (await tell(api, f"{decide}/retry", local_id="f1", why="fixed"))["state"] == "queued"
    assert (await tell(api, f"{decide}/discard", local_id="f2"))["state"] == "deleted"
    assert (await tell(api, f"{decide}/resend", local_id="h1"))["state"] == "queued"
    assert (await tell(api, f"{decide}/resolve", local_id="h2", message_id="m-9"))["state"] == "queued"
    assert (await tell(api, f"{decide}/adopt", local_id="n1", message_id="m-8", version=3))["state"] == "delivered"
    assert (await tell(api, f"{decide}/forget", local_id="n1")) == {"local_id": "n1"}
    assert (await tell(api, "/v1/pause", why="a move"))["pause"]["reason"] == "by hand"
    assert (await tell(api, "/v1/resume"))["pause"] is None
    entries = (await ask(api, "/v1/audit"))["entries"]
    assert [one["action"] for one in reversed(entries)] == [
        *("retry", "discard", "resend", "resolve", "adopt", "forget", "pause", "resume")
    ]
    assert {one["by"] for one in entries} == {"anna"}
    assert entries[-1]["why"] == "fixed"
    timeline = (await ask(api, "/v1/message/timeline", local_id="f1"))["events"]
    assert timeline[-1]["detail"] == "by hand: anna"


async def test_many_are_tried_first_and_then_done(api: httpx.AsyncClient, ledger: Account) -> None:
    """The dry run says how many messages and how many calls; then it is done step by step."""
    fail(ledger, *(f"order:{number}" for number in range(7)), "other")
    question = {"action": "retry", "state": "failed", "prefix": "order:"}
    dry = await ask(api, "/v1/bulk", **question)
    assert (dry["dry_run"], dry["messages"], dry["calls"], dry["cursor"]) == (True, 7, 7, None)
    assert (await ask(api, "/v1/bulk", **{**question, "action": "discard"}))["calls"] == 0
    step = await tell(api, "/v1/bulk", **question, limit=5, why="fixed")
    assert (step["dry_run"], step["messages"], step["refused"]) == (False, 5, 0)
    last = await tell(api, "/v1/bulk", **question, limit=5, cursor=step["cursor"])
    assert (last["messages"], last["cursor"]) == (2, None)
    overview = await ask(api, "/v1/overview")
    assert (overview["counts"]["queued"], overview["counts"]["failed"]) == (7, 1)
    assert (await ask(api, "/v1/audit"))["entries"][0]["details"] == {"state": "failed", "prefix": "order:"}


async def test_the_overview_tells_how_the_account_stands(api: httpx.AsyncClient, ledger: Account) -> None:
    """Counts, budget, forecast, what folding saved, how soon changes are shown, and how fast it goes."""
    now = int(ledger.client.time()[0]) * 1000
    ledger.now = now - 240_000
    ledger.run(ledger.exchanges.wake("t", ledger.budget))
    for number in range(8):
        ledger.record(create(f"order:{number}"))
    ledger.now += 6000
    claimed = ledger.claim(8).messages
    settled = [(one, Settlement(kind="confirmed", message_id=one.local_id, status=200)) for one in claimed[:4]]
    ledger.run(ledger.exchanges.settle(settled, ledger.budget))
    ledger.run(ledger.exchanges.begin(GENERAL_TIER))
    await tell(api, "/v1/messages/create", **ORDER | {"local_id": "new"})
    await tell(api, "/v1/messages/update", local_id="new", text="newer")
    found = await ask(api, "/v1/overview")
    assert found["counts"] | {"queued": 1, "sending": 4, "known": 4} == found["counts"]
    assert (found["calls_left"], found["waiting"], found["saved"], found["calls"]) == (100, 1, 1, 8)
    assert (found["shown_within"]["5"], found["shown_within"]["10"], found["shown_within"]["inf"]) == (0, 4, 4)
    assert 1.8 < found["throughput"]["last_5_minutes"]["calls"] <= 2.0
    assert found["heartbeat_at"] is not None
    samples = (await ask(api, "/v1/history"))["samples"]
    assert [(one["jobs"], one["waiting"]) for one in samples] == [(0, 0)]


async def test_what_the_intake_refused_and_the_server_lacks_is_told(api: httpx.AsyncClient, ledger: Account) -> None:
    """As `list --state refused` and `check` do."""
    ledger.run(ledger.exchanges.refuse('{"verb": "create", "local_id": "order:9"}', 10))
    assert (await ask(api, "/v1/refused"))["jobs"][0]["local_id"] == "order:9"
    assert any("appendonly" in line for line in (await ask(api, "/v1/check"))["warnings"])

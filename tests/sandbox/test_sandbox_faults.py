"""Faults by chance and by script, as far as no socket is needed to see them."""

from __future__ import annotations

import json
import time
from collections import Counter

import httpx
import pytest
from brevo_sandbox import (
    BadInputError,
    Chance,
    ConnectionDroppedError,
    Fault,
    Kind,
    Match,
    Sandbox,
    Scripted,
    create_app,
    parse_chance,
)
from brevo_sandbox.incoming import Incoming

pytestmark = pytest.mark.anyio

PUSHED = "/v3/conversations/pushedMessages"
ORDER = {"text": "Order received", "visitorId": "visitor-1", "agentId": "agent-1"}


def texts(sandbox: Sandbox) -> list[str]:
    return [message.text for message in sandbox.store.chat("visitor-1")]


@pytest.mark.parametrize(
    ("kind", "status", "stored"),
    [
        ("error_before", {500}, False),
        ("error_after", {500, 502, 503, 524}, True),
        ("rate_limited", {429}, False),
        ("unauthorized", {401}, False),
        ("refused", {400}, False),
        ("html_error", {502}, False),
        ("bad_body", {200}, True),
        ("latency", {200}, True),
    ],
)
async def test_each_kind_answers_and_acts_as_its_name_says(
    api: httpx.AsyncClient, sandbox: Sandbox, kind: str, status: set[int], stored: bool
) -> None:
    """One scripted fault strikes one request and is used up."""
    fault = {"kind": kind} | ({"seconds": 0} if kind == "latency" else {})
    assert (await api.post("/sandbox/faults", json=fault)).status_code == 201
    answer = await api.post(PUSHED, json=ORDER)
    assert answer.status_code in status
    assert len(texts(sandbox)) == stored
    assert (await api.post(PUSHED, json=ORDER)).status_code == 200
    assert (await api.get("/sandbox/faults")).json() == {"rates": [], "script": []}


async def test_the_bodies_of_broken_answers(api: httpx.AsyncClient) -> None:
    """A 500 says nothing, a 502 speaks HTML, a bad body gives no usable id."""
    for kind in ("error_before", "html_error", *["bad_body"] * 20):
        await api.post("/sandbox/faults", json={"kind": kind})
    assert (await api.post(PUSHED, json=ORDER)).content == b"{}"
    page = await api.post(PUSHED, json=ORDER)
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.startswith("<html>")
    for _ in range(20):
        answer = await api.post(PUSHED, json=ORDER)
        try:
            document = answer.json()
        except json.JSONDecodeError:
            continue
        assert not (isinstance(document, dict) and document.get("id"))


async def test_a_fault_takes_details(api: httpx.AsyncClient) -> None:
    """Status, body and reset are what the order says."""
    await api.post("/sandbox/faults", json={"kind": "error_after", "status": 524, "body": "oops"})
    await api.post("/sandbox/faults", json={"kind": "rate_limited", "reset": 77})
    first = await api.post(PUSHED, json=ORDER)
    assert (first.status_code, first.text) == (524, "oops")
    second = await api.post(PUSHED, json=ORDER)
    assert second.headers["x-sib-ratelimit-reset"] == "77"
    assert second.headers["x-sib-ratelimit-remaining"] == "0"


async def test_an_honest_refusal_outlives_a_bad_body(api: httpx.AsyncClient) -> None:
    """Only an answer of success is spoilt."""
    await api.post("/sandbox/faults", json={"kind": "bad_body"})
    assert (await api.get(f"{PUSHED}/none")).status_code == 404


@pytest.mark.parametrize(
    "match",
    [
        {"methods": ["put"]},
        {"text_contains": "Shipped"},
        {"visitor_id": "visitor-2"},
        {"path_contains": "pushedMessages/"},
    ],
)
async def test_a_fault_waits_for_the_request_it_is_for(api: httpx.AsyncClient, match: dict[str, object]) -> None:
    """Other requests pass by; an edit counts for the visitor of its message."""
    await api.post("/sandbox/faults", json={"kind": "error_before"} | match)
    assert (await api.post(PUSHED, json=ORDER)).status_code == 200
    del_match = {"kind": "error_before", "times": None} | match
    await api.delete("/sandbox/faults")
    made = await api.post(PUSHED, json=ORDER | {"visitorId": "visitor-2"})
    await api.post("/sandbox/faults", json=del_match)
    edit = await api.put(f"{PUSHED}/{made.json()['id']}", json={"text": "Shipped today"})
    assert edit.status_code == 500


async def test_the_script_is_played_in_order(api: httpx.AsyncClient) -> None:
    """Each entry strikes as often as it says before the next has its turn."""
    script = [{"kind": "error_before", "times": 2}, {"kind": "refused"}]
    assert (await api.post("/sandbox/faults", json=script)).status_code == 201
    statuses = [(await api.post(PUSHED, json=ORDER)).status_code for _ in range(4)]
    assert statuses == [500, 500, 400, 200]


async def test_times_null_strikes_until_removed(api: httpx.AsyncClient) -> None:
    """A lasting fault is removed by the id that its order returned."""
    made = (await api.post("/sandbox/faults", json={"kind": "unauthorized", "times": None})).json()
    for _ in range(3):
        assert (await api.post(PUSHED, json=ORDER)).status_code == 401
    assert (await api.delete(f"/sandbox/faults/{made['id']}")).status_code == 200
    assert (await api.delete(f"/sandbox/faults/{made['id']}")).status_code == 404
    assert (await api.post(PUSHED, json=ORDER)).status_code == 200


async def test_one_mistake_leaves_the_script_as_it_was(api: httpx.AsyncClient) -> None:
    """A list of faults is taken whole or not at all."""
    answer = await api.post("/sandbox/faults", json=[{"kind": "refused"}, {"kind": "nonsense"}])
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert (await api.get("/sandbox/faults")).json()["script"] == []


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"kind": "error_before", "secnods": 1},
        {"kind": "refused", "seconds": 1},
        {"kind": "timeout_after", "seconds": 121},
        {"kind": "latency", "seconds": -1},
        {"kind": "error_after", "status": 42},
        {"kind": "reset_after", "end": "hang"},
        {"kind": "error_after", "times": 0},
        {"kind": "error_after", "methods": "POST"},
        {"kind": "error_after", "times": True},
        [],
        "error_after",
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(api: httpx.AsyncClient, order: object) -> None:
    """A mistyped fault would otherwise be a test that proves nothing."""
    answer = await api.post("/sandbox/faults", json=order)
    if order == []:
        assert answer.json() == {"script": []}
    else:
        assert answer.status_code == 400


async def test_chances_strike_about_as_often_as_they_say() -> None:
    """The same seed gives the same faults; another method is left alone."""
    chances = [
        Chance(Fault(Kind.ERROR_AFTER), 0.3, Match(methods=frozenset({"POST"}))),
        Chance(Fault(Kind.REFUSED), 0.2, Match(methods=frozenset({"POST"}))),
    ]

    async def play(seed: int, method: str) -> list[int]:
        transport = httpx.ASGITransport(create_app(Sandbox(chances=chances, seed=seed)))
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers={"api-key": "k"}) as client:
            return [(await client.request(method, PUSHED, json=ORDER)).status_code for _ in range(400)]

    first = await play(1, "POST")
    counts = Counter(first)
    assert 80 < sum(count for status, count in counts.items() if status >= 500) < 160
    assert 50 < counts[400] < 110
    assert await play(1, "POST") == first
    assert await play(2, "POST") != first
    assert set(await play(1, "GET")) == {405}


async def test_chances_are_replaced_at_run_time(api: httpx.AsyncClient) -> None:
    """PUT replaces every chance, and is shown as it was given."""
    rates = [{"kind": "error_before", "methods": ["POST"], "probability": 1.0}]
    answer = await api.put("/sandbox/faults", json={"rates": rates, "seed": 3})
    assert answer.json() == {"rates": rates, "script": []}
    assert (await api.post(PUSHED, json=ORDER)).status_code == 500
    assert (await api.put("/sandbox/faults", json={"rates": []})).json()["rates"] == []
    assert (await api.post(PUSHED, json=ORDER)).status_code == 200


async def test_a_request_may_be_slow_and_fail(api: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """Latency is looked up apart from the other kinds."""
    sandbox.faults.add(Scripted(Fault(Kind.LATENCY, seconds=0.05)))
    sandbox.faults.add(Scripted(Fault(Kind.REFUSED)))
    began = time.monotonic()
    assert (await api.post(PUSHED, json=ORDER)).status_code == 400
    assert time.monotonic() - began >= 0.05
    entry = (await api.get("/sandbox/requests")).json()["requests"][0]
    assert (entry["fault"], entry["delay"]) == ("refused", 0.05)


async def test_latency_comes_before_the_effect(sandbox: Sandbox) -> None:
    """Between being let in and being carried out, a slow request has changed nothing."""
    sandbox.faults.add(Scripted(Fault(Kind.LATENCY, seconds=9)))
    headers = [(b"api-key", b"k"), (b"content-type", b"application/json")]
    exchange = sandbox.begin(Incoming.read("POST", PUSHED, "", headers, json.dumps(ORDER).encode()))
    assert exchange.verdict.delay == 9
    assert texts(sandbox) == []
    sandbox.carry_out(exchange)
    assert texts(sandbox) == ["Order received"]


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("reset_before", False), ("reset_after", True), ("timeout_before", False), ("timeout_after", True)],
)
async def test_without_a_server_a_lost_connection_is_an_error(
    api: httpx.AsyncClient, sandbox: Sandbox, kind: str, stored: bool
) -> None:
    """The application alone cannot drop a socket, so it raises; a hang does so at its bound."""
    order = {"kind": kind} | ({"seconds": 0.01} if kind.startswith("timeout") else {})
    await api.post("/sandbox/faults", json=order)
    with pytest.raises(ConnectionDroppedError):
        await api.post(PUSHED, json=ORDER)
    assert len(texts(sandbox)) == stored


@pytest.mark.parametrize(
    ("written", "chance"),
    [
        ("error_after=0.03", Chance(Fault(Kind.ERROR_AFTER), 0.03)),
        ("latency=0.2@1.5s", Chance(Fault(Kind.LATENCY, seconds=1.5), 0.2)),
        ("error_after=1@524", Chance(Fault(Kind.ERROR_AFTER, status=524), 1)),
        ("rate_limited=1@9", Chance(Fault(Kind.RATE_LIMITED, reset=9), 1)),
        (
            "post,PUT:reset_after=.1",
            Chance(Fault(Kind.RESET_AFTER), 0.1, Match(methods=frozenset({"POST", "PUT"}))),
        ),
    ],
)
async def test_a_chance_is_written_in_one_word(written: str, chance: Chance) -> None:
    """The command line takes kind, probability, one detail and the methods."""
    assert parse_chance(written) == chance


@pytest.mark.parametrize("written", ["refused", "x=1", "refused=2", "refused=1@5", "refused=nan", "=1"])
async def test_what_is_no_chance_is_refused(written: str) -> None:
    """A fault nobody meant must not start."""
    with pytest.raises(BadInputError):
        parse_chance(written)

"""What the sandbox tells about itself, and the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
from brevo_sandbox import Fault, Kind, Rate, Rules, Sandbox, Scripted
from brevo_sandbox.testing import ManualClock

pytestmark = pytest.mark.anyio

PUSHED = "/v3/conversations/pushedMessages"
ORDER = {"text": "Order received", "visitorId": "visitor-1", "agentId": "agent-1"}
SECRET = "xkeysib-0123456789abcdef"


async def test_every_request_is_shown_in_order(api: httpx.AsyncClient) -> None:
    """A cursor gives only what is newer."""
    made = await api.post(PUSHED, json=ORDER)
    await api.get(f"{PUSHED}/none?x=1")
    seen = (await api.get("/sandbox/requests")).json()
    assert seen["last"] == 2
    first, second = seen["requests"]
    assert first["number"] == 1
    assert first["body"] == ORDER
    assert (first["status"], first["effect"], first["message_id"]) == (200, True, made.json()["id"])
    assert (second["path"], second["query"]) == (f"{PUSHED}/none", "x=1")
    assert (second["status"], second["effect"], second["message_id"]) == (404, False, None)
    assert (await api.get("/sandbox/requests?since=1")).json() == {"requests": [second], "last": 2}
    assert (await api.get("/sandbox/requests?since=9")).json()["requests"] == []


@pytest.mark.parametrize("since", ["-1", "x", "", "1.5", "٣", "9" * 5000])
async def test_a_cursor_that_is_no_number_is_refused(api: httpx.AsyncClient, since: str) -> None:
    """The answer is 400, never a failure."""
    assert (await api.get("/sandbox/requests", params={"since": since})).status_code == 400


async def test_no_key_is_ever_shown(api: httpx.AsyncClient) -> None:
    """Only that there was a key, and its last four characters."""
    await api.post(PUSHED, json=ORDER, headers={"api-key": SECRET, "authorization": "Bearer hidden"})
    await api.post(PUSHED, json=ORDER, headers={"api-key": "tiny"})
    answer = await api.get("/sandbox/requests")
    assert SECRET not in answer.text
    assert "hidden" not in answer.text
    long, short = answer.json()["requests"]
    assert (long["api_key"], long["api_key_tail"]) == (True, "cdef")
    assert (short["api_key"], short["api_key_tail"]) == (True, None)


async def test_the_journal_forgets_the_oldest_but_counts_on(
    connect: Callable[[Sandbox], httpx.AsyncClient],
) -> None:
    """A long run does not fill the memory; numbers and cursors stay true."""
    async with connect(Sandbox(journal_size=3)) as api:
        for _ in range(5):
            await api.get(f"{PUSHED}/none")
        seen = (await api.get("/sandbox/requests?since=1")).json()
        stats = (await api.get("/sandbox/stats")).json()
    assert [entry["number"] for entry in seen["requests"]] == [3, 4, 5]
    assert stats["requests"] == 5


async def test_a_visitor_sees_what_is_left_and_how_it_reads_now(api: httpx.AsyncClient) -> None:
    """Edits show, deletions do not, the order is that of creation."""
    ids = [(await api.post(PUSHED, json=ORDER | {"text": text})).json()["id"] for text in ("one", "two", "three")]
    await api.put(f"{PUSHED}/{ids[0]}", json={"text": "uno"})
    await api.delete(f"{PUSHED}/{ids[1]}")
    seen = (await api.get("/sandbox/visitors/visitor-1")).json()
    now = 1_700_000_000_000
    assert seen == {
        "id": "visitor-1",
        "messages": [
            {"id": ids[0], "type": "agent", "text": "uno", "createdAt": now, "edited": True},
            {"id": ids[2], "type": "agent", "text": "three", "createdAt": now, "edited": False},
        ],
    }
    everyone = (await api.get("/sandbox/visitors")).json()["visitors"]
    assert everyone == [{"id": "visitor-1", "shown": 2, "edited": 1, "deleted": 1, "lastAt": now}]
    stored = (await api.get("/sandbox/messages")).json()["messages"]
    assert [(message["text"], message["deleted"]) for message in stored] == [
        ("uno", False),
        ("two", True),
        ("three", False),
    ]


async def test_the_counts_add_up(connect: Callable[[Sandbox], httpx.AsyncClient], clock: ManualClock) -> None:
    """By method, by status and by fault."""
    sandbox = Sandbox(rate=Rate(2, 10), clock=clock)
    sandbox.faults.add(Scripted(Fault(Kind.ERROR_AFTER, status=502)))
    async with connect(sandbox) as api:
        for _ in range(3):
            await api.post(PUSHED, json=ORDER)
        stats = (await api.get("/sandbox/stats")).json()
    assert stats == {
        "requests": 3,
        "methods": {"POST": 3},
        "statuses": {"502": 1, "200": 1, "429": 1},
        "faults": {"error_after": 1},
        "effects": 2,
        "rate_limited": 1,
        "unanswered": 0,
        "concurrent": 0,
        "max_concurrent": 1,
    }


async def test_settings_change_at_run_time(api: httpx.AsyncClient) -> None:
    """Rate, rules and keys."""
    assert (await api.put("/sandbox/rate", json={"rate": "1/10s"})).json()["rate"] == "1/10s"
    rules = (await api.put("/sandbox/rules", json={"require_sender": False})).json()
    assert rules == Rules().as_json() | {"require_sender": False}
    assert (await api.post(PUSHED, json={"text": "x", "visitorId": "v"})).status_code == 200
    assert (await api.post(PUSHED, json=ORDER)).status_code == 429
    assert (await api.put("/sandbox/keys", json={"keys": ["other"]})).json() == {"any": False, "count": 1}
    assert (await api.post(PUSHED, json=ORDER)).status_code == 401
    assert (await api.put("/sandbox/keys", json={"keys": None})).json() == {"any": True, "count": 0}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("rate", {"rate": "soon"}),
        ("rate", {}),
        ("rules", {"require_sender": "no"}),
        ("rules", {"require_sender": None}),
        ("rules", {"unknown": True}),
        ("keys", {}),
        ("keys", {"keys": [1]}),
        ("faults", {"rates": [{"kind": "refused"}]}),
        ("faults", {"rates": {"refused": 1}}),
    ],
)
async def test_a_setting_that_makes_no_sense_is_refused(api: httpx.AsyncClient, path: str, document: object) -> None:
    """The answer names the field."""
    answer = await api.put(f"/sandbox/{path}", json=document)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_reset_returns_to_the_start(connect: Callable[[Sandbox], httpx.AsyncClient]) -> None:
    """Messages and requests go, settings are again those of the start."""
    async with connect(Sandbox(rate=Rate(50, 10), keys=["test-key-0123456789"])) as api:
        await api.post(PUSHED, json=ORDER)
        await api.post("/sandbox/faults", json={"kind": "refused"})
        await api.put("/sandbox/rate", json={"rate": "off"})
        await api.put("/sandbox/keys", json={"keys": ["other"]})
        assert (await api.post("/sandbox/reset")).json() == {"status": "ok"}
        assert (await api.get("/sandbox/messages")).json() == {"messages": []}
        assert (await api.get("/sandbox/requests")).json() == {"requests": [], "last": 0}
        assert (await api.get("/sandbox/rate")).json()["rate"] == "50/10s"
        assert (await api.post(PUSHED, json=ORDER)).status_code == 200


async def test_health_says_ok(api: httpx.AsyncClient) -> None:
    """A health check needs no key."""
    del api.headers["api-key"]
    assert (await api.get("/sandbox/health")).json() == {"status": "ok"}


@pytest.mark.parametrize("visitor", ["a/b c", "ä\n?#%", "<script>alert(1)</script>", '"><img src=x>'])
async def test_the_page_shows_any_visitor_and_escapes_everything(api: httpx.AsyncClient, visitor: str) -> None:
    """The link of the list leads to the chat, and no text becomes markup."""
    await api.post(PUSHED, json=ORDER | {"visitorId": visitor, "text": "<i>hello</i> & more"})
    overview = (await api.get("/")).text
    link = re.search(r'href="(/visitor/[^"]+)"', overview)
    assert link is not None
    assert link[1] == f"/visitor/{quote(visitor, safe='')}"
    chat = await api.get(link[1])
    for page in (overview, chat.text):
        assert "&lt;i&gt;hello&lt;/i&gt; &amp; more" in page
        assert "<script>" not in page
        assert "<img" not in page
    seen = (await api.get(f"/sandbox/visitors/{quote(visitor, safe='')}")).json()
    assert (seen["id"], len(seen["messages"])) == (visitor, 1)


async def test_the_page_loads_nothing_from_elsewhere(api: httpx.AsyncClient) -> None:
    """A strict policy, no inline script or style, and every asset is there."""
    page = await api.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "style=" not in page.text
    assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(assets) == 3
    for asset in assets:
        assert (await api.get(asset)).status_code == 200
    assert not re.search(r"<script(?![^>]*src=)", page.text)


async def test_the_chat_marks_edits_and_hides_what_was_deleted(api: httpx.AsyncClient) -> None:
    """The page shows what the visitor sees."""
    first = (await api.post(PUSHED, json=ORDER)).json()["id"]
    second = (await api.post(PUSHED, json=ORDER | {"text": "Never mind"})).json()["id"]
    await api.put(f"{PUSHED}/{first}", json={"text": "Shipped"})
    await api.delete(f"{PUSHED}/{second}")
    page = (await api.get("/visitor/visitor-1")).text
    assert "Shipped" in page
    assert 'class="edited"' in page
    assert "Never mind" not in page
    assert "1 shown, 1 of them edited, 1 removed" in page


async def test_the_list_can_be_searched(api: httpx.AsyncClient) -> None:
    """The search works without a script."""
    for visitor in ("alice", "bob"):
        await api.post(PUSHED, json=ORDER | {"visitorId": visitor})
    page = (await api.get("/", params={"q": "ali"})).text
    assert "/visitor/alice" in page
    assert "/visitor/bob" not in page
    assert "No visitor id contains" in (await api.get("/", params={"q": "zoe"})).text

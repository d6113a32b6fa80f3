"""Messages of agents and visitors, and agents being online."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from brevo_sandbox import Rules, Sandbox
from brevo_sandbox.testing import ManualClock

pytestmark = pytest.mark.anyio

CHAT = "/v3/conversations/messages"
PUSHED = "/v3/conversations/pushedMessages"
PING = "/v3/conversations/agentOnlinePing"
BY_ID = {"agentId": "agent-1"}
BY_EMAIL = {"agentEmail": "liz@example.com", "agentName": "Liz", "receivedFrom": "helpdesk"}
HELLO = {"text": "Hello", "visitorId": "visitor-1"}


async def test_a_message_of_an_agent_has_the_documented_fields(api: httpx.AsyncClient) -> None:
    """Creation is 200; the message is not pushed and carries the sender's marker."""
    answer = await api.post(CHAT, json=HELLO | BY_ID | {"receivedFrom": "helpdesk"})
    assert answer.status_code == 200
    message = answer.json()
    assert len(message.pop("id")) == 17
    assert message.pop("agentName")
    assert message == {
        "type": "agent",
        "isPushed": False,
        "isTrigger": False,
        "isMissed": False,
        "isMissedByVisitor": False,
        "isBot": False,
        "text": "Hello",
        "html": "Hello",
        "visitorId": "visitor-1",
        "agentId": "agent-1",
        "receivedFrom": "helpdesk",
        "createdAt": 1_700_000_000_000,
    }


async def test_without_a_marker_none_is_shown(api: httpx.AsyncClient) -> None:
    """The field is there only for who sent one; a pushed message never has it."""
    assert "receivedFrom" not in (await api.post(CHAT, json=HELLO | BY_ID)).json()
    pushed = await api.post(PUSHED, json=HELLO | BY_ID | {"receivedFrom": "helpdesk"})
    assert "receivedFrom" not in pushed.json()


@pytest.mark.parametrize("path", [CHAT, PING])
@pytest.mark.parametrize(
    ("sender", "code"),
    [
        ({}, "missing_parameter"),
        ({"agentEmail": "liz@example.com"}, "missing_parameter"),
        (BY_EMAIL | {"agentName": None}, "missing_parameter"),
        (BY_EMAIL | {"receivedFrom": None}, "missing_parameter"),
        (BY_EMAIL | {"agentEmail": None}, "missing_parameter"),
        (BY_EMAIL | {"agentEmail": "liz"}, "invalid_parameter"),
        ({"agentId": 7}, "invalid_parameter"),
        ({"agentId": " "}, "invalid_parameter"),
    ],
)
async def test_an_agent_is_named_by_id_or_by_all_three(
    api: httpx.AsyncClient, sandbox: Sandbox, path: str, sender: dict[str, object], code: str
) -> None:
    """Email, name and marker count only together; nothing is stored and nobody is online."""
    answer = await api.post(path, json=HELLO | sender)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert list(sandbox.store.messages()) == []
    assert list(sandbox.agents.presences()) == []


async def test_an_unknown_email_makes_a_dummy_agent_that_stays(api: httpx.AsyncClient) -> None:
    """The same email is the same agent under the first name, wherever it turns up."""
    first = (await api.post(CHAT, json=HELLO | BY_EMAIL)).json()
    later = (
        await api.post(CHAT, json=HELLO | BY_EMAIL | {"agentName": "Else", "agentEmail": "LIZ@example.com"})
    ).json()
    by_id = (await api.post(PUSHED, json=HELLO | {"agentId": first["agentId"]})).json()
    other = (await api.post(CHAT, json=HELLO | BY_EMAIL | {"agentEmail": "tom@example.com"})).json()
    assert first["agentName"] == "Liz"
    for message in (later, by_id):
        assert (message["agentId"], message["agentName"]) == (first["agentId"], "Liz")
    assert other["agentId"] != first["agentId"]


async def test_an_agents_name_is_the_same_in_every_sandbox(connect: Callable[[Sandbox], httpx.AsyncClient]) -> None:
    """Names depend on the id alone."""
    names = []
    for _ in range(2):
        async with connect(Sandbox()) as api:
            for agent_id in ("agent-1", "agent-2", "agent-3"):
                names.append((await api.post(CHAT, json=HELLO | {"agentId": agent_id})).json()["agentName"])
    assert names[:3] == names[3:]
    assert len(set(names)) > 1


async def test_an_agents_message_can_be_read_edited_and_deleted(api: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """The edit keeps everything but the text."""
    made = (await api.post(CHAT, json=HELLO | BY_EMAIL)).json()
    one = f"{CHAT}/{made['id']}"
    edited = await api.put(one, json={"text": "Good day"})
    assert edited.status_code == 200
    assert edited.json() == made | {"text": "Good day", "html": "Good day"}
    assert (await api.get(one)).json() == edited.json()
    gone = await api.delete(one)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await api.get(one)).status_code == 404
    assert sandbox.store.chat("visitor-1") == []


@pytest.mark.parametrize("status", [400, 404])
async def test_a_visitors_message_can_only_be_read(
    connect: Callable[[Sandbox], httpx.AsyncClient], status: int
) -> None:
    """Only messages of agents can be changed; which status says so is a switch."""
    sandbox = Sandbox(rules=Rules(visitor_message_status=status))
    async with connect(sandbox) as api:
        said = (await api.post("/sandbox/say", json={"visitorId": "visitor-1", "text": "Where is it?"})).json()
        one = f"{CHAT}/{said['id']}"
        read = (await api.get(one)).json()
        assert (read["type"], read["text"]) == ("visitor", "Where is it?")
        assert not {"agentId", "agentName"} & read.keys()
        assert (await api.put(one, json={"text": "x"})).status_code == status
        assert (await api.delete(one)).status_code == status
    assert [message.text for message in sandbox.store.chat("visitor-1")] == ["Where is it?"]


async def test_a_ping_answers_201_and_nothing_else(api: httpx.AsyncClient) -> None:
    """Not 200, and no body to parse."""
    answer = await api.post(PING, json=BY_ID)
    assert (answer.status_code, answer.content) == (201, b"")
    assert "content-type" not in answer.headers
    for method in ("GET", "PUT", "DELETE"):
        wrong = await api.request(method, PING, json=BY_ID)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_an_agent_is_online_for_two_to_three_minutes(api: httpx.AsyncClient, clock: ManualClock) -> None:
    """Each ping counts and begins the time anew."""
    await api.post(PING, json=BY_ID)
    clock.pass_by(60)
    await api.post(PING, json=BY_ID)
    await api.post(PING, json=BY_EMAIL)
    now = 1_700_000_060_000
    first, second = (await api.get("/sandbox/agents")).json()["agents"]
    assert (first["id"], first["dummy"], first["pings"], first["lastPing"]) == ("agent-1", False, 2, now)
    assert (second["name"], second["email"], second["dummy"], second["pings"]) == ("Liz", "liz@example.com", True, 1)
    assert now + 120_000 <= first["onlineUntil"] <= now + 180_000
    online = []
    for seconds in (119, 61):
        clock.pass_by(seconds)
        online.append([agent["online"] for agent in (await api.get("/sandbox/agents")).json()["agents"]])
    assert online == [[True, True], [False, False]]


async def test_how_long_a_ping_counts_is_a_switch(api: httpx.AsyncClient, clock: ManualClock) -> None:
    """In seconds."""
    await api.put("/sandbox/rules", json={"online_seconds": 10})
    await api.post(PING, json=BY_ID)
    clock.pass_by(10)
    assert [agent["online"] for agent in (await api.get("/sandbox/agents")).json()["agents"]] == [False]


async def test_a_ping_costs_a_call_and_can_fail_like_any(api: httpx.AsyncClient) -> None:
    """Rate limit, faults and keys hold for it too."""
    await api.put("/sandbox/rate", json={"rate": "2/10s"})
    await api.post("/sandbox/faults", json={"kind": "error_before", "path_contains": "agentOnlinePing"})
    statuses = [(await api.post(PING, json=BY_ID)).status_code for _ in range(3)]
    assert statuses == [500, 201, 429]


async def test_the_pages_show_who_is_online_and_who_wrote_what(api: httpx.AsyncClient, clock: ManualClock) -> None:
    """Names, markers and texts are escaped."""
    nasty = BY_EMAIL | {"agentName": "<b>Liz</b>", "receivedFrom": "<i>desk</i>"}
    await api.post(PING, json=nasty)
    await api.post(CHAT, json=HELLO | nasty)
    await api.post(PUSHED, json=HELLO | BY_ID)
    await api.post("/sandbox/say", json={"visitorId": "visitor-1", "text": "<u>hi</u>"})
    agents, chat, overview = [(await api.get(page)).text for page in ("/agents", "/visitor/visitor-1", "/")]
    assert 'class="on">online' in agents
    assert "liz@example.com" in agents
    assert "Online: &lt;b&gt;Liz&lt;/b&gt;" in overview
    assert "from &lt;i&gt;desk&lt;/i&gt;" in chat
    assert chat.count(">pushed<") == 1
    assert chat.count('class="bubble own"') == 1
    for page in (agents, chat, overview):
        assert not [tag for tag in ("<b>", "<i>", "<u>") if tag in page]
    clock.pass_by(3600)
    assert "offline" in (await api.get("/agents")).text
    assert "Online:" not in (await api.get("/")).text

"""Creating, reading, editing and deleting pushed messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
from brevo_sandbox import Rules, Sandbox
from brevo_sandbox.agents import Agent
from brevo_sandbox.messages import Family, Message
from brevo_sandbox.testing import ManualClock

pytestmark = pytest.mark.anyio

PUSHED = "/v3/conversations/pushedMessages"
ORDER = {"text": "Order received", "visitorId": "visitor-1", "agentId": "agent-1"}


async def create(api: httpx.AsyncClient, **changes: str) -> str:
    answer = await api.post(PUSHED, json=ORDER | changes)
    assert answer.status_code == 200
    return str(answer.json()["id"])


async def test_a_create_answers_200_with_the_message(api: httpx.AsyncClient) -> None:
    """Creation is 200, not 201, and shows the documented fields with the documented types."""
    answer = await api.post(PUSHED, json=ORDER)
    assert answer.status_code == 200
    message = answer.json()
    assert re.fullmatch(r"[A-Za-z0-9]{17}", message.pop("id"))
    assert message.pop("agentName")
    assert message == {
        "type": "agent",
        "isPushed": True,
        "isTrigger": False,
        "isMissed": False,
        "isMissedByVisitor": False,
        "isBot": False,
        "text": "Order received",
        "html": "Order received",
        "visitorId": "visitor-1",
        "agentId": "agent-1",
        "createdAt": 1_700_000_000_000,
    }


async def test_html_is_the_text_escaped(api: httpx.AsyncClient) -> None:
    """Markup in a text stays text."""
    answer = await api.post(PUSHED, json=ORDER | {"text": "<b>1 & 2</b>\nnow"})
    assert answer.json()["html"] == "&lt;b&gt;1 &amp; 2&lt;/b&gt;<br>now"


async def test_the_same_create_twice_makes_two_messages(api: httpx.AsyncClient) -> None:
    """There is no idempotency key."""
    assert await create(api) != await create(api)


async def test_a_put_changes_the_text_only(api: httpx.AsyncClient, clock: ManualClock, sandbox: Sandbox) -> None:
    """The id and the time of creation outlive an edit; the visitor sees an edited mark."""
    message_id = await create(api)
    before = (await api.get(f"{PUSHED}/{message_id}")).json()
    clock.pass_by(60)
    answer = await api.put(f"{PUSHED}/{message_id}", json={"text": "Shipped"})
    assert answer.status_code == 200
    assert answer.json() == before | {"text": "Shipped", "html": "Shipped"}
    assert [message.edited for message in sandbox.store.chat("visitor-1")] == [True]


async def test_a_delete_answers_204_and_nothing_else(api: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """A deleted message is gone for every operation and for the visitor."""
    message_id = await create(api)
    answer = await api.delete(f"{PUSHED}/{message_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert sandbox.store.chat("visitor-1") == []
    for method in ("GET", "DELETE"):
        gone = await api.request(method, f"{PUSHED}/{message_id}")
        assert (gone.status_code, gone.json()["code"]) == (404, "document_not_found")
    gone = await api.put(f"{PUSHED}/{message_id}", json={"text": "x"})
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"text": None}, "missing_parameter"),
        ({"text": ""}, "invalid_parameter"),
        ({"text": " \n"}, "invalid_parameter"),
        ({"text": 7}, "invalid_parameter"),
        ({"visitorId": None}, "missing_parameter"),
        ({"visitorId": ""}, "invalid_parameter"),
        ({"agentId": None}, "missing_parameter"),
        ({"agentId": ["a"]}, "invalid_parameter"),
        ({"groupId": 1}, "invalid_parameter"),
    ],
)
async def test_bad_fields_are_refused(
    api: httpx.AsyncClient, sandbox: Sandbox, changes: dict[str, object], code: str
) -> None:
    """What is not there is missing, what is blank or of another type is invalid; nothing is stored."""
    answer = await api.post(PUSHED, json=ORDER | changes)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json().keys() == {"code", "message"}
    assert list(sandbox.store.messages()) == []


async def test_a_put_without_text_is_refused(api: httpx.AsyncClient) -> None:
    """Text is required on PUT."""
    message_id = await create(api)
    answer = await api.put(f"{PUSHED}/{message_id}", json={})
    assert (answer.status_code, answer.json()["code"]) == (400, "missing_parameter")


async def test_a_group_will_do_for_an_agent(api: httpx.AsyncClient) -> None:
    """A group speaks through one of its agents, always the same."""
    names = set()
    for _ in range(2):
        answer = await api.post(PUSHED, json={"text": "x", "visitorId": "v", "groupId": "group-1"})
        names.add((answer.json()["agentId"], answer.json()["agentName"]))
    assert len(names) == 1


async def test_neither_agent_nor_group_may_be_allowed(
    connect: Callable[[Sandbox], httpx.AsyncClient],
) -> None:
    """The documentation leaves it open, so it is a switch."""
    async with connect(Sandbox(rules=Rules(require_sender=False))) as api:
        answer = await api.post(PUSHED, json={"text": "x", "visitorId": "v"})
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
async def test_what_is_no_json_object_is_a_bad_request(api: httpx.AsyncClient, body: bytes) -> None:
    """However broken the body is, the answer is 400."""
    answer = await api.post(PUSHED, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_not_acceptable(api: httpx.AsyncClient, media_type: str) -> None:
    """POST and PUT take JSON only."""
    answer = await api.post(PUSHED, content=b"{}", headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


async def test_a_charset_beside_the_content_type_is_fine(api: httpx.AsyncClient) -> None:
    """Parameters of the media type do not matter."""
    content = b'{"text":"x","visitorId":"v","agentId":"a"}'
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await api.post(PUSHED, content=content, headers=headers)).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/x"), ("PATCH", "/x")])
async def test_a_wrong_method_is_405(api: httpx.AsyncClient, method: str, path: str) -> None:
    """The answer says which methods would do."""
    answer = await api.request(method, PUSHED + path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"]


async def test_an_unknown_route_is_404_in_the_error_shape(api: httpx.AsyncClient) -> None:
    """Nothing under /v3 answers in another shape."""
    answer = await api.get("/v3/contacts")
    assert (answer.status_code, answer.json()["code"]) == (404, "document_not_found")


async def test_a_404_may_come_without_code(connect: Callable[[Sandbox], httpx.AsyncClient]) -> None:
    """Only `message` is required in the error body of a 404."""
    async with connect(Sandbox(rules=Rules(not_found_code=False))) as api:
        answer = await api.get(f"{PUSHED}/none")
    assert answer.json().keys() == {"message"}


@pytest.mark.parametrize("message_id", ["a/b", "a%2Fb", "a b", "ä\n", "?x=1#y", "a/", "..a", "%"])
async def test_an_id_may_hold_any_character(api: httpx.AsyncClient, sandbox: Sandbox, message_id: str) -> None:
    """A path is decoded once, no more and no less."""
    sandbox.store.add(Message(message_id, Family.PUSHED, "v", "text", Agent("a", "Liz"), 1))
    answer = await api.get(f"{PUSHED}/{quote(message_id, safe='')}")
    assert answer.status_code == 200
    assert answer.json()["id"] == message_id


async def test_a_text_no_encoding_can_hold_is_still_answered(api: httpx.AsyncClient) -> None:
    """A lone surrogate is legal in JSON, so it must break neither the API nor the page."""
    content = b'{"text":"\\ud800","visitorId":"v","agentId":"a"}'
    answer = await api.post(PUSHED, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert (await api.get("/visitor/v")).status_code == 200


async def test_a_missing_key_is_401(connect: Callable[[Sandbox], httpx.AsyncClient], sandbox: Sandbox) -> None:
    """The message is the one seen in the field."""
    async with connect(sandbox) as api:
        del api.headers["api-key"]
        answer = await api.post(PUSHED, json=ORDER)
    assert answer.status_code == 401
    assert answer.json() == {"code": "unauthorized", "message": "authentication not found in headers"}


async def test_a_wrong_key_is_401_where_keys_are_known(
    connect: Callable[[Sandbox], httpx.AsyncClient],
) -> None:
    """Any key is accepted unless the sandbox was told which."""
    async with connect(Sandbox(keys=["right"])) as api:
        wrong = await api.post(PUSHED, json=ORDER)
        right = await api.post(PUSHED, json=ORDER, headers={"api-key": "right"})
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Key not found")
    assert right.status_code == 200

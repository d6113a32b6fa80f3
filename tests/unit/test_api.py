"""The requests that the client makes, and how it reads answers. Phases of a call need sockets: see integration."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pushledger.errors import SettingsError
from pushledger_worker.answer import Answer, Answered, Dropped, NotSent
from pushledger_worker.api import Api
from pushledger_worker.api_key import ApiKey
from pushledger_worker.plan import Call, Edit, Remove, Send
from pydantic import SecretStr

BASE = "https://api.example/v3"
TARGET = '{"agentId":"a","visitorId":"v"}'
SEND = Send("pushed", TARGET, "Your order has shipped! Hier ist 🎁 für Sie")
EDIT = Edit("pushed", "AXC", "Received")
REMOVE = Remove("pushed", "AXC")
CREATED = httpx.Response(200, json={"id": "AXC"})


def key() -> SecretStr:
    return SecretStr("secret-key")


def performed(
    *calls: Call,
    handler: Callable[[httpx.Request], httpx.Response] = lambda request: CREATED,
    current_key: Callable[[], SecretStr] = key,
    send_by: float = 10.0,
    now: float = 0.0,
    base_url: str = BASE,
) -> tuple[list[Answer], list[httpx.Request]]:
    """The answers to calls made one after the other, and the requests that went out."""
    requests: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return handler(request)

    async def perform() -> list[Answer]:
        def transport() -> httpx.AsyncBaseTransport:
            return httpx.MockTransport(note)

        async with Api(base_url, current_key, timedelta(seconds=5), lambda: now, transport) as api:
            return [await api.perform(call, send_by) for call in calls]

    return asyncio.run(perform()), requests


def answer_to(response: httpx.Response, call: Call = SEND) -> Answered:
    [answer], _ = performed(call, handler=lambda request: response)
    assert isinstance(answer, Answered)
    return answer


# ---------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (SEND, "POST", "/v3/conversations/pushedMessages", {"agentId": "a", "visitorId": "v", "text": SEND.text}),
        (EDIT, "PUT", "/v3/conversations/pushedMessages/AXC", {"text": "Received"}),
        (REMOVE, "DELETE", "/v3/conversations/pushedMessages/AXC", None),
        (
            Send("agent", '{"groupId":"g","visitorId":"v"}', "Hello"),
            "POST",
            "/v3/conversations/messages",
            {"groupId": "g", "visitorId": "v", "text": "Hello"},
        ),
        (Edit("agent", "AXC", "Bye"), "PUT", "/v3/conversations/messages/AXC", {"text": "Bye"}),
        (Remove("agent", "AXC"), "DELETE", "/v3/conversations/messages/AXC", None),
    ],
)
def test_requests_are_the_documented_ones(call: Call, method: str, path: str, body: dict[str, str] | None) -> None:
    """Nothing else can be changed by an edit, and a removal has no body."""
    _, [request] = performed(call)
    assert (request.method, request.url.raw_path.decode()) == (method, path)
    assert request.headers["api-key"] == "secret-key"
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/json"
    assert (json.loads(request.content) if request.content else None) == body


def test_text_goes_out_as_utf_8() -> None:
    """Readable on the wire, not escaped into six times its length."""
    _, [request] = performed(SEND)
    assert SEND.text.encode() in request.content


@pytest.mark.parametrize("text", ['a "quoted" \\ text', "line\nbreak\ttab", "<b>&amp;</b>", "\u2028\x7f", " x "])
def test_text_arrives_as_it_was_given(text: str) -> None:
    _, requests = performed(Send("pushed", TARGET, text), Edit("pushed", "AXC", text))
    assert [json.loads(request.content)["text"] for request in requests] == [text, text]


@pytest.mark.parametrize(
    ("message_id", "segment"),
    [
        ("AXCR3k9bpSY7bpuh7", "AXCR3k9bpSY7bpuh7"),
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("a%2Fb", "a%252Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("a b+c", "a%20b%2Bc"),
        ("é🎁", "%C3%A9%F0%9F%8E%81"),
        ("a;b:c@d&e=f", "a%3Bb%3Ac%40d%26e%3Df"),
        ("...", "..."),
    ],
)
@pytest.mark.parametrize("call", [EDIT, REMOVE])
def test_an_id_stays_one_segment_of_the_path(call: Edit | Remove, message_id: str, segment: str) -> None:
    """An id is opaque; unescaped it could name another message, or another endpoint."""
    renamed = Edit("pushed", message_id, "x") if isinstance(call, Edit) else Remove("pushed", message_id)
    _, [request] = performed(renamed)
    assert request.url.raw_path.decode() == f"/v3/conversations/pushedMessages/{segment}"
    assert request.url.host == "api.example"


@pytest.mark.parametrize("message_id", ["", ".", ".."])
def test_an_id_that_would_name_something_else_is_refused(message_id: str) -> None:
    """DELETE …/pushedMessages/.. would be DELETE …/pushedMessages."""
    with pytest.raises(ValueError, match="a message id must be more"):
        performed(Remove("pushed", message_id))


def test_the_base_url_may_have_a_path_and_a_port() -> None:
    _, [request] = performed(EDIT, base_url="http://127.0.0.1:8025/sandbox/v3")
    assert str(request.url) == "http://127.0.0.1:8025/sandbox/v3/conversations/pushedMessages/AXC"


# ---------------------------------------------------------------- the key


def test_the_key_is_read_for_every_call() -> None:
    """A key that is replaced while the worker runs is used from the next call on."""
    keys = iter(["old", "new"])
    _, requests = performed(EDIT, EDIT, current_key=lambda: SecretStr(next(keys)))
    assert [request.headers["api-key"] for request in requests] == ["old", "new"]


def test_a_key_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old\n")
    api_key = ApiKey(None, path)
    assert api_key.current().get_secret_value() == "old"
    replacement = tmp_path / "replacement"
    replacement.write_text("new\n")
    replacement.rename(path)
    assert api_key.current().get_secret_value() == "new"


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", "ключ".encode(), b"\xff\xfe", None])
def test_a_key_that_cannot_be_used_sends_nothing(tmp_path: Path, content: bytes | None) -> None:
    """It is the account's trouble, and surely not sent: no create becomes unknown by it (promises 5, 8)."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    api_key = ApiKey(None, path)
    with pytest.raises(SettingsError, match="PUSHLEDGER_API_KEY_FILE"):
        api_key.current()
    [answer], requests = performed(SEND, current_key=api_key.current)
    assert isinstance(answer, NotSent)
    assert answer.detail.startswith("PUSHLEDGER_API_KEY_FILE")
    assert not requests


# ---------------------------------------------------------------- send-by


def test_past_its_send_by_a_call_is_dropped() -> None:
    """R4: another worker may own the message by now."""
    answers, requests = performed(SEND, EDIT, REMOVE, send_by=10.0, now=10.1)
    assert answers == [Dropped(), Dropped(), Dropped()]
    assert not requests


def test_up_to_its_send_by_a_call_goes_out() -> None:
    [answer], requests = performed(SEND, send_by=10.0, now=10.0)
    assert isinstance(answer, Answered)
    assert len(requests) == 1


def test_quick_retries_look_at_the_clock_too() -> None:
    """R4: time passes between them."""
    now, tries = iter([0.0, 11.0]), list[int]()

    def refuse(request: httpx.Request) -> httpx.Response:
        tries.append(1)
        raise httpx.ConnectError("refused")

    async def perform() -> Answer:
        def transport() -> httpx.AsyncBaseTransport:
            return httpx.MockTransport(refuse)

        async with Api(BASE, key, timedelta(seconds=5), lambda: next(now), transport) as api:
            return await api.perform(SEND, 10.0)

    assert asyncio.run(perform()) == Dropped()
    assert len(tries) == 1


# ---------------------------------------------------------------- answers


def test_an_answer_is_read() -> None:
    headers = {"X-Sib-Ratelimit-Remaining": "75", "x-sib-ratelimit-reset": "45"}
    answer = answer_to(httpx.Response(200, json={"id": "AXC", "type": "agent"}, headers=headers))
    assert answer.status == 200
    assert answer.body == {"id": "AXC", "type": "agent"}
    assert not answer.is_html
    assert answer.headers["x-sib-ratelimit-remaining"] == "75"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"OK",
        b"[]",
        b'"AXC"',
        b"17",
        b"null",
        b'{"id":"AXC',
        b'{"id":"AXC"} trailing',
        b"\xff\xfe\x00",
        b'{"id":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"<html><body>502 Bad Gateway</body></html>",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 429, 502])
def test_a_body_that_is_no_json_object_is_survived(status: int, content: bytes) -> None:
    """The status stands: it was answered, and nothing is known beyond that."""
    answer = answer_to(httpx.Response(status, content=content))
    assert (answer.status, answer.body) == (status, {})


def test_a_204_has_no_body() -> None:
    answer = answer_to(httpx.Response(204), REMOVE)
    assert (answer.status, answer.body) == (204, {})


def test_an_empty_body_that_claims_to_be_json_is_survived() -> None:
    answer = answer_to(httpx.Response(200, headers={"content-type": "application/json"}), EDIT)
    assert (answer.status, answer.body) == (200, {})


@pytest.mark.parametrize(
    ("content_type", "is_html"),
    [
        ("text/html", True),
        ("text/html; charset=utf-8", True),
        ("application/xhtml+xml", True),
        ("application/json", False),
        ("text/plain", False),
        (None, False),
    ],
)
def test_a_proxys_page_is_told_from_the_apis_answer(content_type: str | None, is_html: bool) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert answer_to(httpx.Response(404, content=b"<html>", headers=headers)).is_html is is_html


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(b'{"id":"AXC"}')
    assert answer_to(httpx.Response(200, content=body, headers={"content-encoding": "gzip"})).body == {"id": "AXC"}


def test_a_redirect_is_an_answer() -> None:
    """Followed, it would hand the key to whoever it names."""
    response = httpx.Response(302, headers={"location": "https://elsewhere.example/"})
    [answer], requests = performed(SEND, handler=lambda request: response)
    assert isinstance(answer, Answered)
    assert answer.status == 302
    assert len(requests) == 1


@pytest.mark.parametrize("status", [200, 400, 401, 408, 429, 500, 502, 503])
@pytest.mark.parametrize("call", [SEND, EDIT, REMOVE])
def test_an_answer_ends_the_call(call: Call, status: int) -> None:
    """Whatever was answered, this call is not repeated: when the next may go out is for the ledger to say."""
    _, requests = performed(call, handler=lambda request: httpx.Response(status, json={}))
    assert len(requests) == 1

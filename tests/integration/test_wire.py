"""The nine requests of the worker's client and of the official one, side by side as they are on the wire."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brevo_python
import pytest
from pushledger import Agent, Create
from pushledger_worker.answer import Answered
from pushledger_worker.api import Api
from pushledger_worker.plan import Call, Edit, Ping, Probe, Remove, Send
from pydantic import SecretStr

KEY = "a-key-of-the-tests"
# Ids are opaque text: whatever they hold must stay one segment of the path.
MESSAGE_ID = "a/b?c#d%2F ä€;=&+" + "x" * 300
TEXT = 'Your order has shipped! Here’s "it": 9114 \\ 5847 <b>😀</b>\nThanks'  # noqa: RUF001
DUMMY = {"agent_email": "liz@shop.example", "agent_name": "Liz ☂", "received_from": "orders"}
# What is each client's own, and says nothing to the API.
OWN_HEADERS = {"host", "user-agent", "accept-encoding", "connection", "content-length"}


@dataclass(frozen=True)
class Request:
    """One request as it arrived: the path undecoded, the body as JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Recorder:
    """Answers as the API does, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorder.requests.append(Request(self.command, self.path, headers, json.loads(body) if body else None))
                status = {"DELETE": 204, "POST": 201 if self.path.endswith("Ping") else 200}.get(self.command, 200)
                content = b"" if status in (201, 204) else json.dumps({"id": MESSAGE_ID, "type": "agent"}).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v3"

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def official(recorder: Recorder) -> Iterator[brevo_python.ConversationsApi]:
    configuration = brevo_python.Configuration()
    configuration.api_key["api-key"] = KEY
    configuration.host = recorder.url
    client = brevo_python.ApiClient(configuration)
    yield brevo_python.ConversationsApi(client)
    client.rest_client.pool_manager.clear()


def target(kind: Any, **sender: str) -> str:
    return Create("order:1", "v/1 ä", TEXT, kind=kind, **sender).target()  # type: ignore[arg-type]


Official = Callable[[brevo_python.ConversationsApi], object]
NINE: dict[str, tuple[Call, Official]] = {
    "POST pushedMessages": (
        Send("pushed", target("pushed", agent_id="a-1"), TEXT),
        lambda api: api.conversations_pushed_messages_post(
            brevo_python.Body17(visitor_id="v/1 ä", text=TEXT, agent_id="a-1")
        ),
    ),
    "POST pushedMessages in a group's name": (
        Send("pushed", target("pushed", group_id="g-1"), TEXT),
        lambda api: api.conversations_pushed_messages_post(
            brevo_python.Body17(visitor_id="v/1 ä", text=TEXT, group_id="g-1")
        ),
    ),
    "GET pushedMessages/{id}": (
        Probe("pushed", MESSAGE_ID),
        lambda api: api.conversations_pushed_messages_id_get(MESSAGE_ID),
    ),
    "PUT pushedMessages/{id}": (
        Edit("pushed", MESSAGE_ID, TEXT),
        lambda api: api.conversations_pushed_messages_id_put(MESSAGE_ID, brevo_python.Body18(text=TEXT)),
    ),
    "DELETE pushedMessages/{id}": (
        Remove("pushed", MESSAGE_ID),
        lambda api: api.conversations_pushed_messages_id_delete(MESSAGE_ID),
    ),
    "POST messages": (
        Send("agent", target("agent", agent_id="a-1"), TEXT),
        lambda api: api.conversations_messages_post(brevo_python.Body15(visitor_id="v/1 ä", text=TEXT, agent_id="a-1")),
    ),
    "POST messages by e-mail": (
        Send("agent", target("agent", **DUMMY), TEXT),
        lambda api: api.conversations_messages_post(brevo_python.Body15(visitor_id="v/1 ä", text=TEXT, **DUMMY)),
    ),
    "GET messages/{id}": (
        Probe("agent", MESSAGE_ID),
        lambda api: api.conversations_messages_id_get(MESSAGE_ID),
    ),
    "PUT messages/{id}": (
        Edit("agent", MESSAGE_ID, TEXT),
        lambda api: api.conversations_messages_id_put(MESSAGE_ID, body=brevo_python.Body16(text=TEXT)),
    ),
    "DELETE messages/{id}": (
        Remove("agent", MESSAGE_ID),
        lambda api: api.conversations_messages_id_delete(MESSAGE_ID),
    ),
    "POST agentOnlinePing": (
        Ping(Agent("a-1").to_json()),
        lambda api: api.conversations_agent_online_ping_post(brevo_python.Body19(agent_id="a-1")),
    ),
    "POST agentOnlinePing by e-mail": (
        Ping(Agent(**DUMMY).to_json()),
        lambda api: api.conversations_agent_online_ping_post(brevo_python.Body19(**DUMMY)),
    ),
}


async def ours(url: str, call: Call) -> Answered:
    async with Api(url, lambda: SecretStr(KEY), timedelta(seconds=5), time.monotonic) as api:
        answer = await api.perform(call, time.monotonic() + 5)
    assert isinstance(answer, Answered)
    return answer


@pytest.mark.parametrize("operation", NINE)
def test_both_clients_ask_the_same(recorder: Recorder, official: brevo_python.ConversationsApi, operation: str) -> None:
    call, official_call = NINE[operation]
    official_call(official)
    assert asyncio.run(ours(recorder.url, call)).status in (200, 201, 204)
    theirs, mine = recorder.requests
    assert (mine.method, mine.path, mine.body) == (theirs.method, theirs.path, theirs.body)
    compared = {name: value for name, value in theirs.headers.items() if name not in OWN_HEADERS}
    assert {name: value for name, value in mine.headers.items() if name not in OWN_HEADERS} == compared
    method, path = operation.split(" ")[:2]
    assert mine.method == method
    assert mine.path.startswith(f"/v3/conversations/{path.removesuffix('{id}')}")
    assert mine.path.count("/") == 3 + path.count("/"), "an id is one segment"

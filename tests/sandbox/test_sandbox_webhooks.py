"""Events of a visitor's conversation, and how they are delivered."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from brevo_sandbox import BadInputError, Receiver, Rules, Sandbox
from brevo_sandbox.testing import ManualClock
from brevo_sandbox.webhooks import MOST_WAITING
from brevo_sandbox.wire import Json

pytestmark = pytest.mark.anyio

CHAT = "/v3/conversations/messages"
PUSHED = "/v3/conversations/pushedMessages"
PING = "/v3/conversations/agentOnlinePing"
ORDER = {"text": "Order received", "visitorId": "visitor-1", "agentId": "agent-1"}

WaitUntil = Callable[[Callable[[], object], float, str], None]
Settled = Callable[[Sandbox], dict[str, Json]]


class Listener:
    """Receives events on a free port; answers `status`, a redirect to elsewhere included, once it may `answer`."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = threading.Event()
        self.answer.set()
        self.events: queue.Queue[dict[str, Json]] = queue.Queue()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                assert self.headers["content-type"] == "application/json"
                listener.events.put(json.loads(self.rfile.read(length)))
                listener.answer.wait(10)
                self.send_response(listener.status)
                self.send_header("content-length", "0")
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?secret=1"

    def next(self) -> dict[str, Json]:
        return self.events.get(timeout=10)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = threading.Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield listener
    listener.answer.set()
    listener.server.shutdown()
    listener.server.server_close()
    thread.join(10)


@pytest.fixture
def hooked(sandbox: Sandbox, listener: Listener) -> Sandbox:
    sandbox.set_webhook(Receiver(listener.url))
    return sandbox


@pytest.fixture
def settled(wait_until: WaitUntil) -> Settled:
    """What the webhook tells about itself, once nothing waits any more."""

    def state(sandbox: Sandbox) -> dict[str, Json]:
        wait_until(lambda: not sandbox.webhooks.as_json()["waiting"], 10, "the deliveries")
        return sandbox.webhooks.as_json()

    return state


async def test_a_visitors_first_message_starts_a_conversation(
    api: httpx.AsyncClient, hooked: Sandbox, listener: Listener
) -> None:
    """With the documented fields; the message does not name the visitor, who stands beside it."""
    said = (await api.post("/sandbox/say", json={"visitorId": "visitor-1", "text": "<b>Hi</b>\nyou"})).json()
    event = listener.next()
    visitor = event.pop("visitor")
    assert isinstance(visitor, dict)
    assert (visitor["id"], visitor["threadId"]) == ("visitor-1", event["conversationId"])
    conversation_id = event.pop("conversationId")
    assert isinstance(conversation_id, str)
    assert len(conversation_id) == 17
    page = event.pop("conversationStartPage")
    assert isinstance(page, dict)
    assert page.keys() == {"link", "title"}
    assert event == {
        "eventName": "conversationStarted",
        "isNoAvailableAgent": True,
        "message": {
            "id": said["id"],
            "type": "visitor",
            "isPushed": False,
            "isTrigger": False,
            "isMissed": False,
            "isMissedByVisitor": False,
            "isBot": False,
            "text": "<b>Hi</b>\nyou",
            "html": "&lt;b&gt;Hi&lt;/b&gt;<br>you",
            "rawUnsafeHtml": "<b>Hi</b><br>you",
            "createdAt": 1_700_000_000_000,
        },
    }


async def test_an_agent_may_start_one_too(api: httpx.AsyncClient, hooked: Sandbox, listener: Listener) -> None:
    """The event says who, and whether anybody is online."""
    await api.post(PING, json={"agentId": "agent-1"})
    by_email = {"agentEmail": "liz@example.com", "agentName": "Liz", "receivedFrom": "helpdesk"}
    made = (await api.post(CHAT, json={"text": "Hello", "visitorId": "visitor-1"} | by_email)).json()
    event = listener.next()
    assert event["eventName"] == "conversationStarted"
    assert event["isNoAvailableAgent"] is False
    assert event["agent"] == {"id": made["agentId"], "name": "Liz", "email": "liz@example.com"}
    message = event["message"]
    assert isinstance(message, dict)
    assert (message["id"], message["receivedFrom"], message["agentName"]) == (made["id"], "helpdesk", "Liz")


async def test_a_conversation_from_its_start_to_its_end(
    api: httpx.AsyncClient, hooked: Sandbox, listener: Listener, settled: Settled
) -> None:
    """A push tells nothing by itself, turns up in the next fragment, and again in the transcript."""
    await api.post(PUSHED, json=ORDER)
    hooked.say("visitor-1", "Where is it?")
    hooked.say("visitor-2", "Hello?")
    gone = (await api.post(CHAT, json=ORDER | {"text": "gone"})).json()["id"]
    await api.post(CHAT, json=ORDER | {"text": "On its way"})
    await api.delete(f"{CHAT}/{gone}")
    hooked.say("visitor-1", "Thanks")
    assert hooked.finish_chat("visitor-1")
    assert not hooked.finish_chat("visitor-1")
    hooked.say("visitor-1", "One more thing")
    hooked.say("visitor-1", "Really")
    assert hooked.finish_chat("visitor-1")
    assert settled(hooked)["delivered"] == 9

    def told(event: dict[str, Json]) -> tuple[Json, list[Json]]:
        found = event["messages"] if "messages" in event else [event["message"]]
        assert isinstance(found, list)
        return event["eventName"], [message["text"] for message in found if isinstance(message, dict)]

    events = [listener.next() for _ in range(9)]
    assert [told(event) for event in events] == [
        ("conversationStarted", ["Where is it?"]),
        ("conversationStarted", ["Hello?"]),
        ("conversationFragment", ["Order received", "gone"]),
        ("conversationFragment", ["On its way"]),
        ("conversationFragment", ["Thanks"]),
        ("conversationTranscript", ["Order received", "Where is it?", "On its way", "Thanks"]),
        ("conversationStarted", ["One more thing"]),
        ("conversationFragment", ["Really"]),
        ("conversationTranscript", ["One more thing", "Really"]),
    ]
    fragment, transcript = events[2], events[5]
    assert fragment.keys() == {
        "eventName", "conversationId", "messages", "agents", "visitor", "isNoAvailableAgent",
    }  # fmt: skip
    assert transcript.keys() == {
        "eventName", "conversationId", "conversationStartPage", "messages", "missedMessagesCount", "agents", "visitor",
    }  # fmt: skip
    assert isinstance(fragment["messages"], list)
    assert [message["isPushed"] for message in fragment["messages"] if isinstance(message, dict)] == [True, False]
    assert isinstance(transcript["agents"], list)
    assert [agent["id"] for agent in transcript["agents"] if isinstance(agent, dict)] == ["agent-1"]
    of_first = {event["conversationId"] for event in events if event is not events[1]}
    assert len(of_first) == 1
    assert events[1]["conversationId"] not in of_first


async def test_a_push_alone_may_yield_a_fragment(
    api: httpx.AsyncClient, hooked: Sandbox, listener: Listener, settled: Settled
) -> None:
    """Only with the switch on, and never as the start of a conversation."""
    await api.post(PUSHED, json=ORDER)
    hooked.set_rules(Rules(fragment_after_push=True))
    await api.post(PUSHED, json=ORDER | {"text": "Shipped"})
    assert settled(hooked)["delivered"] == 1
    event = listener.next()
    assert event["eventName"] == "conversationFragment"
    assert isinstance(event["messages"], list)
    assert [message["text"] for message in event["messages"] if isinstance(message, dict)] == [
        "Order received",
        "Shipped",
    ]


async def test_nothing_is_sent_unless_asked_for(api: httpx.AsyncClient, sandbox: Sandbox, listener: Listener) -> None:
    """Off at the start, off when set to null, off after a reset."""
    sandbox.say("visitor-1", "one")
    url = {"url": listener.url}
    assert (await api.put("/sandbox/webhook", json=url)).json()["url"] == listener.url
    assert (await api.put("/sandbox/webhook", json={"url": None})).json()["url"] is None
    sandbox.say("visitor-1", "two")
    await api.put("/sandbox/webhook", json=url)
    await api.post("/sandbox/reset")
    sandbox.say("visitor-1", "three")
    assert (await api.get("/sandbox/webhook")).json() == {
        "url": None, "timeout_seconds": None, "waiting": 0, "delivered": 0, "failed": 0, "dropped": 0, "deliveries": [],
    }  # fmt: skip
    assert listener.events.empty()


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_a_refused_delivery_is_shown_and_not_repeated(
    api: httpx.AsyncClient, hooked: Sandbox, listener: Listener, clock: ManualClock, status: int, settled: Settled
) -> None:
    """A redirect is not followed: it could lead off this machine."""
    listener.status = status
    hooked.say("visitor-1", "Hello")
    settled(hooked)
    state = (await api.get("/sandbox/webhook")).json()
    assert (state["delivered"], state["failed"]) == (0, 1)
    (delivery,) = state["deliveries"]
    assert (delivery["event"], delivery["status"], delivery["error"]) == ("conversationStarted", status, None)
    assert (delivery["number"], delivery["at"]) == (1, clock.now)
    assert delivery["body"] == listener.next()
    assert listener.events.empty()


async def test_a_receiver_that_is_not_there_is_said_so(sandbox: Sandbox, settled: Settled) -> None:
    """The sandbox goes on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sandbox.set_webhook(Receiver(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        sandbox.say("visitor-1", "Hello")
        state = settled(sandbox)
    assert state["failed"] == 1
    (delivery,) = sandbox.webhooks.deliveries()
    assert delivery.status is None
    assert (delivery.error or "").startswith("ConnectionRefusedError")


async def test_a_receiver_that_keeps_silent_is_given_up(
    api: httpx.AsyncClient, sandbox: Sandbox, listener: Listener, settled: Settled
) -> None:
    """Nobody waits for it meanwhile; what came next is delivered after it."""
    listener.answer.clear()
    await api.put("/sandbox/webhook", json={"url": listener.url, "timeout_seconds": 1})
    await api.post("/sandbox/say", json={"visitorId": "visitor-1", "text": "Hello"})
    assert sandbox.webhooks.as_json()["waiting"] == 1, "the caller had not to wait for the delivery"
    listener.next()
    settled(sandbox)
    (delivery,) = sandbox.webhooks.deliveries()
    assert (delivery.status, delivery.error) == (None, "no answer within 1 s")
    listener.answer.set()
    sandbox.say("visitor-1", "Anybody?")
    assert settled(sandbox)["delivered"] == 1


async def test_a_receiver_that_drips_is_given_up(sandbox: Sandbox, settled: Settled) -> None:
    """Each byte would satisfy a time-out of one read."""
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        with contextlib.suppress(OSError), server.accept()[0] as connection:
            while not stop.wait(0.05):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        try:
            sandbox.set_webhook(Receiver(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_seconds=0.4))
            sandbox.say("visitor-1", "Hello")
            state = settled(sandbox)
        finally:
            stop.set()
            thread.join(15)
    assert state["failed"] == 1
    (delivery,) = sandbox.webhooks.deliveries()
    assert delivery.error == "no answer within 0.4 s"
    assert 0.4 <= delivery.seconds < 5


async def test_what_waits_is_bounded(hooked: Sandbox, listener: Listener, wait_until: WaitUntil) -> None:
    """One is in the air, so many wait, the rest is dropped and counted."""
    listener.answer.clear()
    hooked.say("visitor-1", "in the air")
    listener.next()
    for number in range(MOST_WAITING + 3):
        hooked.say(f"visitor-{number}", "Hello")
    state = hooked.webhooks.as_json()
    assert (state["waiting"], state["dropped"]) == (MOST_WAITING + 1, 3)
    before = hooked.webhooks
    hooked.reset()
    listener.answer.set()
    wait_until(lambda: not before.as_json()["waiting"], 10, "the one in the air")
    assert before.as_json()["delivered"] == 1, "a reset forgets what waits"
    assert listener.events.empty()


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/hook",
        "http://brevo.example/hook",
        "http://localhost.brevo.example/",
        "http://127.0.0.1.brevo.example/",
        "http://[2001:db8::1]/",
    ],
)
async def test_only_this_machine_is_called(
    api: httpx.AsyncClient, connect: Callable[[Sandbox], httpx.AsyncClient], url: str
) -> None:
    """Unless the sandbox was started to call any."""
    refused = await api.put("/sandbox/webhook", json={"url": url})
    assert refused.status_code == 400
    assert "this machine" in refused.json()["message"]
    assert (await api.get("/sandbox/webhook")).json()["url"] is None
    async with connect(Sandbox(webhooks_anywhere=True)) as other:
        assert (await other.put("/sandbox/webhook", json={"url": url})).status_code == 200


@pytest.mark.parametrize(
    "url",
    ["", "hook", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/", "http://[::1", "http://a:b@127.0.0.1/",
     "http://127.0.0.1/a b", "http://127.0.0.1/\r\nx: y", "http://127.0.0.1/ä"],
)  # fmt: skip
async def test_what_cannot_be_called_is_refused(url: str) -> None:
    """When it is set, not when it is too late."""
    with pytest.raises(BadInputError, match="url"):
        Receiver(url)


@pytest.mark.parametrize("document", [{}, {"url": 7}, {"url": "http://[::1]/", "timeout_seconds": 0}, {"uri": None}])
async def test_a_wrong_order_is_refused(api: httpx.AsyncClient, document: dict[str, Json]) -> None:
    """The answer names the field."""
    assert (await api.put("/sandbox/webhook", json=document)).status_code == 400


@pytest.mark.parametrize(
    ("path", "document", "status"),
    [
        ("say", {"visitorId": "visitor-1"}, 400),
        ("say", {"text": "Hello"}, 400),
        ("finish", {}, 400),
        ("finish", {"visitorId": "visitor-1"}, 404),
    ],
)
async def test_what_a_visitor_cannot_do(
    api: httpx.AsyncClient, path: str, document: dict[str, Json], status: int
) -> None:
    """Say nothing, or finish what never began."""
    assert (await api.post(f"/sandbox/{path}", json=document)).status_code == status


async def test_the_page_shows_deliveries(
    api: httpx.AsyncClient, hooked: Sandbox, listener: Listener, settled: Settled
) -> None:
    """Newest first, escaped, with what went wrong."""
    assert "No event has been sent yet" in (await api.get("/webhook")).text
    hooked.say("<b>visitor</b>", "Hello")
    settled(hooked)
    listener.status = 503
    assert hooked.finish_chat("<b>visitor</b>")
    settled(hooked)
    page = (await api.get("/webhook")).text
    assert page.index("conversationTranscript") < page.index("conversationStarted")
    assert "503" in page
    assert "&lt;b&gt;visitor&lt;/b&gt;" in page
    assert "<b>" not in page

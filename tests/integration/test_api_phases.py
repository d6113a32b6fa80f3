"""R10 on real connections: whether a call was sent is decided from evidence, and nothing that left is sent again."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest
import uvloop
from pushledger_worker.answer import Answer, Answered, NotSent, Unanswered
from pushledger_worker.api import Api
from pushledger_worker.plan import Call, Edit, Remove, Send
from pydantic import SecretStr

if TYPE_CHECKING:
    from conftest import WaitUntil

CALLS: list[Call] = [Send("pushed", '{"visitorId":"v"}', "x"), Edit("pushed", "AXC", "x"), Remove("pushed", "AXC")]
SEND, EDIT, REMOVE = CALLS
OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"id":"AXC"}'
PATIENCE = 5.0
RESET = struct.pack("ii", 1, 0)

Ending: TypeAlias = Callable[[socket.socket], None]
new_event_loop = asyncio.new_event_loop


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True, params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def _loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run on uvloop, `pushledger verify` on asyncio's own loop: both must tell the phases truly."""
    monkeypatch.setattr(sys.modules[__name__], "new_event_loop", request.param)


# ---------------------------------------------------------------- a peer that ends connections as it is told


def read_request(connection: socket.socket) -> bytes:
    """One request, or b"" when the caller has left."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        read = connection.recv(1)
        if not read:
            return b""
        request += read
    length = next((int(line[15:]) for line in request.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return request + (connection.recv(length, socket.MSG_WAITALL) if length else b"")


def say_nothing(connection: socket.socket) -> None:
    connection.recv(1)  # returns when the caller leaves


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def say(words: bytes, then: Ending = close) -> Ending:
    def ending(connection: socket.socket) -> None:
        connection.sendall(words)
        then(connection)

    return ending


def drip(words: bytes) -> Ending:
    def ending(connection: socket.socket) -> None:
        connection.sendall(words)
        connection.settimeout(0.02)
        for _ in range(int(PATIENCE / 0.02)):
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return
            connection.sendall(b"x")

    return ending


class Peer:
    """Reads requests and ends them as told; with `answers`, the first ones are answered properly before."""

    def __init__(self, listener: socket.socket, ending: Ending, answers: int, reads: bool) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v3"
        self.requests: list[bytes] = []
        self.connections = 0
        self.left = 0
        self.ending, self._answers, self._reads = ending, answers, reads
        self._listener = listener
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                connection.settimeout(PATIENCE)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while len(self.requests) < self._answers:
                request = read_request(connection)
                if not request:
                    return
                self.requests.append(request)
                connection.sendall(OK)
            if self._reads:
                request = read_request(connection)
                if not request:
                    return
                self.requests.append(request)
            self.ending(connection)
        self.left += 1

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


@contextmanager
def peer(ending: Ending, answers: int = 0, reads: bool = True) -> Iterator[Peer]:
    made = Peer(socket.create_server(("127.0.0.1", 0)), ending, answers, reads)
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def deaf_port() -> Iterator[socket.socket]:
    """A port of our own on which nobody listens yet: a connection to it is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def with_api(
    url: str,
    use: Callable[[Api], Awaitable[list[Answer]]],
    timeout: float = PATIENCE,
    clock: Callable[[], float] = lambda: 0.0,
) -> list[Answer]:
    async def run() -> list[Answer]:
        async with Api(url, lambda: SecretStr("k"), timedelta(seconds=timeout), clock) as api:
            return await use(api)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(run())


def perform(
    url: str, *calls: Call, timeout: float = PATIENCE, clock: Callable[[], float] = lambda: 0.0
) -> list[Answer]:
    """The answers to calls made one after the other, by one client that keeps its connection."""

    async def use(api: Api) -> list[Answer]:
        return [await api.perform(call, 0.0) for call in calls]

    return with_api(url, use, timeout, clock=clock)


# ---------------------------------------------------------------- no connection was had


@pytest.mark.parametrize("call", CALLS)
def test_a_refused_connection_is_not_sent(call: Call) -> None:
    """It is tried quickly again, three times in all, and then left to the ledger."""
    tries: list[None] = []

    def clock() -> float:  # is read before each try
        tries.append(None)
        return 0.0

    with deaf_port() as port:
        [answer] = perform(f"http://127.0.0.1:{port.getsockname()[1]}/v3", call, clock=clock)
    assert isinstance(answer, NotSent)
    assert "ConnectError" in answer.detail
    assert len(tries) == 3


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_comes_up_between_quick_tries_gets_the_call_once(call: Call) -> None:
    with deaf_port() as port:
        peers: list[Peer] = []

        def clock() -> float:  # is read before each try: the server begins to listen before the second one
            tried.append(None)
            if len(tried) == 2:
                port.listen()
                peers.append(Peer(port, say(OK), 0, True))
            return 0.0

        tried: list[None] = []
        [answer] = perform(f"http://127.0.0.1:{port.getsockname()[1]}/v3", call, clock=clock)
        peers[0].stop()
    assert isinstance(answer, Answered)
    assert len(peers[0].requests) == 1


def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    [answer] = perform("http://api.pushledger.invalid/v3", SEND)
    assert isinstance(answer, NotSent)


@pytest.mark.parametrize("ending", [close, reset, say(OK), say(b"\x15\x03\x01\x00\x02\x02\x28")])
def test_a_failed_tls_handshake_is_not_sent(ending: Ending) -> None:
    """No byte of the request leaves before the handshake is over."""
    with peer(ending, reads=False) as plain:
        [answer] = perform(plain.url.replace("http:", "https:"), SEND)
    assert isinstance(answer, NotSent)
    assert not plain.requests


def test_a_tls_handshake_that_is_never_answered_is_not_sent(wait_until: WaitUntil) -> None:
    """It ends within the time of a call, and leaves no connection open."""

    def stay(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with peer(stay, reads=False) as plain:
        [answer] = perform(plain.url.replace("http:", "https:"), SEND, timeout=2)
        assert isinstance(answer, NotSent)
        wait_until(lambda: plain.left == plain.connections == 3, 2, "each try closes its connection")


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog is silent on Linux only")
def test_a_connection_that_is_never_accepted_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}/v3"
            [answer] = perform(url, SEND, timeout=0.3)
            assert isinstance(answer, NotSent)
        finally:
            for one in waiting:
                one.close()


def test_a_call_that_waits_in_vain_for_a_free_connection_is_not_sent(wait_until: WaitUntil) -> None:
    """Its turn for one of the pool's connections did not come within the time of a call."""

    async def use(api: Api) -> list[Answer]:
        first = asyncio.create_task(api.perform(SEND, 0.0))
        await asyncio.to_thread(wait_until, lambda: silent.requests, 5, "the first call is in the air")
        return [await api.perform(EDIT, 0.0), await first]

    with peer(say_nothing) as silent:
        second, first = with_api(silent.url, use, timeout=0.3)
    assert isinstance(first, Unanswered)
    assert isinstance(second, (NotSent, Unanswered))  # the first one's end may leave it a moment to be sent in
    assert len(silent.requests) <= 2


def test_hanging_calls_take_no_connection_from_others(wait_until: WaitUntil) -> None:
    """With several small pools each call goes where there is room, so that INFLIGHT calls can be in the air."""

    async def use(api: Api) -> list[Answer]:
        hanging = []
        for number in range(1, 10):
            hanging.append(asyncio.create_task(api.perform(Send("pushed", "{}", "hang"), 0.0)))
            await asyncio.to_thread(wait_until, lambda number=number: hung() == number, 2, "it is in the air")
            assert isinstance(await asyncio.wait_for(api.perform(SEND, 0.0), 2), Answered)
        for task in hanging:
            task.cancel()
        await asyncio.wait(hanging)
        return []

    def hung() -> int:
        return sum(b"hang" in request for request in mixed.requests)

    def answer_or_hang(connection: socket.socket) -> None:
        while b"hang" not in mixed.requests[-1]:
            connection.sendall(OK)
            mixed.requests.append(read_request(connection))
        say_nothing(connection)

    with peer(answer_or_hang) as mixed:
        with_api(mixed.url, use)
        assert hung() == 9


# ---------------------------------------------------------------- sent, and no answer came


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(close, id="FIN"),
        pytest.param(reset, id="RST"),
        pytest.param(say(b"HTTP/1.1 200 OK\r\ncontent-le"), id="half the headers, FIN"),
        pytest.param(say(b"HTTP/1.1 200 OK\r\ncontent-le", reset), id="half the headers, RST"),
        pytest.param(say(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), id="another protocol"),
        pytest.param(say(b"HTTP/1.1 abc OK\r\n\r\n"), id="no status"),
        pytest.param(say(b"HTTP/1.1 100 Continue\r\n\r\n"), id="not yet an answer"),
    ],
)
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "kept"])
@pytest.mark.parametrize("call", CALLS, ids=["POST", "PUT", "DELETE"])
def test_a_connection_that_ends_after_the_request_is_unknown(call: Call, fresh: bool, ending: Ending) -> None:
    """On a fresh connection and on a kept one; and the transport sends nothing again by itself."""
    warm = [] if fresh else [EDIT]
    with peer(ending, answers=len(warm)) as other:
        *_, answer = perform(other.url, *warm, call)
    assert isinstance(answer, Unanswered)
    assert len(other.requests) == len(warm) + 1
    assert other.connections == 1


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "kept"])
@pytest.mark.parametrize("call", CALLS, ids=["POST", "PUT", "DELETE"])
def test_silence_is_unknown_and_bounded(call: Call, fresh: bool) -> None:
    warm = [] if fresh else [EDIT]
    with peer(say_nothing, answers=len(warm)) as silent:
        began = time.monotonic()
        *_, answer = perform(silent.url, *warm, call, timeout=0.5)
        assert time.monotonic() - began < 2
    assert answer == Unanswered("no answer in time")
    assert len(silent.requests) == len(warm) + 1
    assert silent.connections == 1


def test_headers_that_drip_are_unknown_and_bounded() -> None:
    """httpx's own time-outs begin anew with every byte; the time of a call does not."""
    with peer(drip(b"HTTP/1.1 200 OK\r\nx-slow: ")) as slow:
        began = time.monotonic()
        assert perform(slow.url, SEND, timeout=0.5) == [Unanswered("no answer in time")]
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("ending", [close, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("call", CALLS, ids=["POST", "PUT", "DELETE"])
def test_a_connection_that_ends_before_anything_was_read_is_unknown(call: Call, ending: Ending) -> None:
    """Nobody can tell from here that it was not read: what left has left."""

    def unread(connection: socket.socket) -> None:
        connection.recv(1, socket.MSG_PEEK)  # the request has arrived, and stays where it is
        ending(connection)

    with peer(unread, reads=False) as other:
        [answer] = perform(other.url, call)
    assert isinstance(answer, Unanswered)
    assert other.connections == 1


@pytest.mark.parametrize("ending", [close, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("call", CALLS, ids=["POST", "PUT", "DELETE"])
def test_a_kept_connection_that_dies_under_the_request_is_unknown(call: Call, ending: Ending) -> None:
    """aiohttp, for one, would send PUT and DELETE again here."""

    def unread(connection: socket.socket) -> None:
        connection.recv(1, socket.MSG_PEEK)
        ending(connection)

    with peer(unread, answers=1, reads=False) as other:
        *_, answer = perform(other.url, EDIT, call)
    assert isinstance(answer, Unanswered)
    assert len(other.requests) == 1
    assert other.connections == 1


@pytest.mark.parametrize("ending", [close, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("call", CALLS, ids=["POST", "PUT", "DELETE"])
def test_a_kept_connection_that_died_before_is_replaced(call: Call, ending: Ending, wait_until: WaitUntil) -> None:
    """Seen to be dead before anything is written to it; so this call is sent, and once."""

    async def use(api: Api) -> list[Answer]:
        first = await api.perform(EDIT, 0.0)
        wait_until(lambda: other.left == 1, 5, "the kept connection ends")
        other.ending = say(OK)
        return [first, await api.perform(call, 0.0)]

    with peer(ending, answers=1, reads=False) as other:
        other.ending = ending
        first, second = with_api(other.url, use)
        assert isinstance(first, Answered)
        # The peer, not reading, answers whatever comes: what counts is that a second connection was made for it.
        assert isinstance(second, (Answered, Unanswered))
        assert other.connections == 2


# ---------------------------------------------------------------- answered


def test_an_answer_on_fresh_and_kept_connections() -> None:
    with peer(say(OK), answers=5) as other:
        answers = perform(other.url, *CALLS, SEND, EDIT)
    assert [answer.body for answer in answers if isinstance(answer, Answered)] == [{"id": "AXC"}] * 5
    assert other.connections == 1


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(say(OK[:-5]), id="FIN"),
        pytest.param(say(OK[:-5], reset), id="RST"),
        pytest.param(say(OK[:-5], say_nothing), id="silence"),
        pytest.param(drip(OK[:-12].replace(b"12", b"99999")), id="drips"),
        pytest.param(
            say(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nc\r\n{"id":"AXC"}\r\n'), id="no last chunk"
        ),
        pytest.param(
            say(OK.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")), id="not the encoding it says"
        ),
    ],
)
@pytest.mark.parametrize("call", CALLS, ids=["POST", "PUT", "DELETE"])
def test_the_status_is_an_answer_though_its_body_is_lost(call: Call, ending: Ending) -> None:
    """It is known that it happened, and only the id is not (R9): a create must not be sent again for that."""
    with peer(ending) as other:
        began = time.monotonic()
        [answer] = perform(other.url, call, timeout=0.6)
        assert time.monotonic() - began < 2  # the time of a call spans the body
    assert isinstance(answer, Answered)
    assert (answer.status, answer.body) == (200, {})
    assert len(other.requests) == 1


def test_a_refusal_is_heard_though_its_body_is_lost() -> None:
    limited = b"HTTP/1.1 429 Too Many\r\nx-sib-ratelimit-reset: 37\r\ncontent-length: 9\r\n\r\n{"
    with peer(say(limited, reset)) as other:
        [answer] = perform(other.url, SEND)
    assert isinstance(answer, Answered)
    assert (answer.status, answer.headers["x-sib-ratelimit-reset"]) == (429, "37")


def test_an_answer_before_the_whole_request_was_read_is_an_answer() -> None:
    """A server may refuse a long request by its first bytes, and close."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        while connection.recv(65_536):  # else the close would be a reset that takes the answer with it
            pass

    with peer(refuse, reads=False) as other:
        [answer] = perform(other.url, Send("pushed", "{}", "x" * 65_536))
    assert isinstance(answer, Answered)
    assert answer.status == 413


# ---------------------------------------------------------------- through a proxy


def test_the_proxy_that_the_environment_names_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and NO_PROXY count, as users of httpx expect."""
    with peer(say(OK)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v3"))
        (answer,) = perform("http://api.example.org/v3", SEND)
    assert isinstance(answer, Answered)
    assert proxy.requests[0].startswith(b"POST http://api.example.org/v3/conversations/pushedMessages HTTP/1.1")


def test_a_host_that_needs_no_proxy_is_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(say(OK)) as direct, deaf_port() as deaf:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        (answer,) = perform(direct.url, SEND)
    assert isinstance(answer, Answered)

"""A TCP proxy on loopback that can cut, freeze and delay what passes, and lose the answer to one request of a kind."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from pushledger.ledger.scripts import script

VERBS = ("record", "claim", "settle", "wake")

_NO_LINGERING = struct.pack("ii", 1, 0)

# before: reset, and the request never arrives. after: it is carried out, then the connection is reset in place of
# its answer. silence: it is carried out, and nothing comes back over this connection ever again. hold: it is carried
# out, and the whole proxy freezes before its answer passes.
How = Literal["before", "after", "silence", "hold"]


class Wire(Protocol):
    """Finds the ends of requests and answers in what has come so far."""

    def request(self, buffer: bytes) -> tuple[int, str] | None:
        """The length and kind of the first request, once it is complete."""

    def answer(self, buffer: bytes) -> int | None:
        """The length of the first answer, once it is complete."""


class Resp:
    """Redis commands; a call of one of the ledger's scripts is of the kind that its verb names."""

    def __init__(self) -> None:
        self._verbs = {script(verb).sha.encode(): verb for verb in VERBS}

    def request(self, buffer: bytes) -> tuple[int, str] | None:
        end = _end_of_value(buffer, 0)
        if end is None:
            return None
        parts = buffer[:end].split(b"\r\n", 6)
        return end, self._verbs.get(parts[4], "script") if parts[2].upper() == b"EVALSHA" else parts[2].decode()

    def answer(self, buffer: bytes) -> int | None:
        return _end_of_value(buffer, 0)


def _end_of_value(buffer: bytes, at: int) -> int | None:
    line_end = buffer.find(b"\r\n", at)
    if line_end < 0:
        return None
    kind, head, at = buffer[at : at + 1], buffer[at + 1 : line_end], line_end + 2
    if kind == b"$" and int(head) >= 0:
        end = at + int(head) + 2
        return end if len(buffer) >= end else None
    for _ in range(int(head) if kind == b"*" else 0):
        inner = _end_of_value(buffer, at)
        if inner is None:
            return None
        at = inner
    return at


class Http:
    """HTTP/1.1 with bodies of a known length; a request is of the kind that its method names."""

    def request(self, buffer: bytes) -> tuple[int, str] | None:
        end = self.answer(buffer)
        return None if end is None else (end, buffer.split(b" ", 1)[0].decode())

    def answer(self, buffer: bytes) -> int | None:
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", buffer[:head_end])
        end = head_end + 4 + (int(length[1]) if length else 0)
        return end if len(buffer) >= end else None


@dataclass
class _Spoil:
    kind: str
    how: How
    every: int
    times: int
    containing: bytes
    seen: int = 0

    def strikes(self, kind: str, request: bytes) -> bool:
        if kind != self.kind or self.times == 0 or self.containing not in request:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.times -= 1
        return True


class Proxy:
    """Passes connections on to a port of this machine. Its methods may be called from any thread."""

    def __init__(self, target: int, wire: Wire) -> None:
        self._target = target
        self._wire = wire
        self._spoils: list[_Spoil] = []
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self.delay = 0.0
        self.struck: Counter[str] = Counter()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def spoil(self, kind: str, how: How, *, every: int = 1, times: int = 1, containing: str = "") -> None:
        """Strike each n-th request of a kind, so often, among those that contain a text."""
        self._do(lambda: self._spoils.append(_Spoil(kind, how, every, times, containing.encode())))

    def heal(self) -> None:
        """Strike no more."""
        self._do(self._spoils.clear)

    def freeze(self) -> None:
        """Hold everything back, both ways."""
        self._do(self._flows.clear)

    @property
    def holds(self) -> bool:
        """Whether everything is held back."""
        return not self._flows.is_set()

    def thaw(self) -> None:
        """Let go what was held back."""
        self._do(self._flows.set)

    def cut(self) -> None:
        """Reset every connection."""

        def cut() -> None:
            for writer in list(self._links):
                _reset(writer)

        self._do(cut)

    def shut(self) -> None:
        """Reset every connection and refuse new ones."""
        if self._server:
            self._do(self._server.close)
        self.cut()

    def open(self) -> None:
        """Take connections, on the same port as ever."""

        async def listen() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", self.port)

        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(5)

    def _do(self, step: Callable[[], object]) -> None:
        async def do() -> None:
            step()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(5)

    async def _gate(self) -> None:
        await self._flows.wait()
        if self.delay:
            await asyncio.sleep(self.delay)

    def _strike(self, kind: str, request: bytes) -> How | None:
        for spoil in self._spoils:
            if spoil.strikes(kind, request):
                self.struck[kind] += 1
                return spoil.how
        return None

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return _reset(client)
        self._links |= {client, server}
        due: deque[How | None] = deque()
        pumps = [
            asyncio.ensure_future(self._requests(reader, server, due)),
            asyncio.ensure_future(self._answers(answers, client, due)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(*pumps)
            for writer in (client, server):
                self._links.discard(writer)
                _reset(writer)
        return None

    async def _requests(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, due: deque[How | None]
    ) -> None:
        buffer = b""
        while data := await reader.read(65_536):
            buffer += data
            while found := self._wire.request(buffer):
                request, buffer = buffer[: found[0]], buffer[found[0] :]
                await self._gate()
                how = self._strike(found[1], request)
                if how == "before":
                    return
                due.append(how)
                server.write(request)

    async def _answers(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, due: deque[How | None]
    ) -> None:
        buffer, silent = b"", False
        while data := await reader.read(65_536):
            buffer += data
            while length := self._wire.answer(buffer):
                answer, buffer = buffer[:length], buffer[length:]
                how = due.popleft() if due else None
                if how == "hold":
                    self._flows.clear()
                await self._gate()
                if how == "after":
                    return
                silent = silent or how == "silence"
                if not silent:
                    client.write(answer)


def _reset(writer: asyncio.StreamWriter) -> None:
    # Without this the kernel says goodbye with an orderly FIN.
    peer = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    writer.transport.abort()


@contextmanager
def running(target: int, wire: Wire) -> Iterator[Proxy]:
    """A proxy for as long as the block runs."""
    proxy = Proxy(target, wire)
    thread = threading.Thread(target=proxy._loop.run_forever, name="proxy", daemon=True)
    thread.start()
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.thaw()
        proxy.shut()
        asyncio.run_coroutine_threadsafe(_ended(), proxy._loop).result(5)
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join(5)
        proxy._loop.close()


async def _ended() -> None:
    # Each ends by itself once its connections are reset; one that waits for more is not left alone with its loop.
    others = asyncio.all_tasks() - {asyncio.current_task()}
    _, left = await asyncio.wait(others, timeout=2) if others else (set(), set())
    assert not left, left

"""Serves a sandbox on real sockets, which it can also drop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import struct
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Protocol, runtime_checkable

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from brevo_sandbox.api import DROP_EXTENSION
from brevo_sandbox.app import create_app
from brevo_sandbox.incoming import PREFIX
from brevo_sandbox.state import Sandbox

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_LINGERING = struct.pack("ii", 1, 0)


def serve(
    host: str = LOOPBACK,
    port: int = 0,
    sandbox: Sandbox | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is told the base URL once requests are accepted.

    Port 0 takes a free one. A host or port that cannot be had raises OSError.
    """
    listener = _listen(host, port)
    server = _Server(sandbox or Sandbox(), lambda: on_ready(_url(listener)) if on_ready else None)
    server.run(sockets=[listener])


@contextlib.contextmanager
def running(sandbox: Sandbox, host: str = LOOPBACK, port: int = 0) -> Iterator[str]:
    """Serve from a thread as long as the block runs, and give the base URL."""
    listener = _listen(host, port)
    ready = threading.Event()
    server = _Server(sandbox, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="brevo-sandbox", daemon=True)
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the sandbox did not start within 10 seconds")
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join(10)


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = found[0]
    # The event loop turns Nagle's algorithm off only for sockets that name TCP, which those of
    # `socket.create_server` do not; with it on, each answer over a kept-alive connection is 40 ms late.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}{PREFIX}" if ":" in host else f"http://{host}:{port}{PREFIX}"


@runtime_checkable
class _Connection(Protocol):
    client: tuple[str, int] | None
    transport: asyncio.Transport


class _Server(uvicorn.Server):
    def __init__(self, sandbox: Sandbox, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                self._with_drop(create_app(sandbox)),
                # Only these two are known to keep the transport where `_drop` looks for it.
                http="httptools" if find_spec("httptools") else "h11",
                lifespan="off",
                ws="none",
                access_log=False,
                log_level="critical",
                server_header=False,
                # A request is told from another by its peer, which a forwarded header could hide.
                proxy_headers=False,
                # What still hangs when the sandbox ends is meant to hang: there is nothing to wait for.
                timeout_graceful_shutdown=0,
                timeout_keep_alive=75,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        await super().startup(None if sockets is None else list(sockets))
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on a signal, and unlike the server this one is built on, do not raise it again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.should_exit = True

    def _with_drop(self, app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[DROP_EXTENSION] = partial(self._drop, scope.get("client"))
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                # The end of the sandbox must look like the end of a process, not like an answer of the API.
                self._drop(scope.get("client"), False)
                raise
            except Exception:
                # The server's own log is off, for it also reports what the end of the sandbox cuts off.
                _log.exception("the sandbox failed on %s %s", scope.get("method"), scope.get("path"))
                raise

        return wrapped

    def _drop(self, client: tuple[str, int] | None, abruptly: bool) -> None:
        for connection in list(self.server_state.connections):
            if not isinstance(connection, _Connection) or connection.client != client:
                continue
            peer = connection.transport.get_extra_info("socket")
            if abruptly and peer is not None:
                # Without this the kernel says goodbye with an orderly FIN.
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            connection.transport.abort()

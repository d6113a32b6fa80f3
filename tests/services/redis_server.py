"""Debian's redis-server as a private process, with TLS, rights or replicas as a test asks for them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import urlencode

import redis
from acceptance.conftest import Valkey, _awaited

__all__ = ["REDIS", "RedisServer"]

REDIS = "/usr/bin/redis-server"


class RedisServer(Valkey):
    """A server that may be killed and started again, on the same port and folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self._settings = {"appendonly": "yes", "save": "", **settings}

    def start(self) -> None:
        """Start it; returns once it answers."""
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), **self._settings}
        arguments = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([REDIS, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _awaited(self._answers, 10, "Redis answers")

    def addressed(self, database: int = 0, scheme: str = "redis", user: str = "", **options: str) -> str:
        """Its URL for a user, with options after the question mark."""
        query = f"?{urlencode(options)}" if options else ""
        return f"{scheme}://{user and f'{user}@'}127.0.0.1:{self.port}/{database}{query}"

    def client(self, database: int = 0) -> redis.Redis:
        """A client that may do everything."""
        return redis.Redis.from_url(self.url(database), decode_responses=True, protocol=2)

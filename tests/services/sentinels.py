"""A master, two replicas, and three Sentinels that agree on who is the master."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis
import redis.sentinel
from acceptance.conftest import Valkey, _awaited
from services.redis_server import REDIS, RedisServer

__all__ = ["Replicated"]

_SENTINEL = """port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor shop 127.0.0.1 {master} 2
sentinel down-after-milliseconds shop 1000
sentinel failover-timeout shop 5000
"""


class _Sentinel(Valkey):
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)

    def start_for(self, master: int) -> None:
        file = self._folder / "sentinel.conf"
        file.write_text(_SENTINEL.format(port=self.port, folder=self._folder, master=master))
        with (self._folder / "sentinel.log").open("ab") as log:
            self._process = subprocess.Popen(
                [REDIS, str(file), "--sentinel"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        _awaited(self._answers, 10, f"a Sentinel answers: {self._folder}")


class Replicated(Valkey):
    """Stands where a single server would; its master may be killed, and after some seconds another one is it."""

    def __init__(self, folder: Path, stack: ExitStack, start: Callable[..., RedisServer]) -> None:
        self.servers = [start("server-0", repl_diskless_sync_delay="0")]
        first = self.servers[0].port
        self.servers += [start(f"server-{number}", replicaof=f"127.0.0.1 {first}") for number in (1, 2)]
        self._sentinels = [_Sentinel(folder / f"sentinel-{number}") for number in range(3)]
        for sentinel in self._sentinels:
            stack.callback(sentinel.kill)
            sentinel.start_for(first)
        _awaited(self._is_whole, 30, "the Sentinels know each other and the replicas")

    def _is_whole(self) -> bool:
        for sentinel in self._sentinels:
            with sentinel.client() as client:
                known = client.sentinel_master("shop")
            if (known["num-slaves"], known["num-other-sentinels"]) != (2, 2):
                return False
        with self.master().client() as client:
            replication = client.info("replication")
        # A replica that is still being filled would be promoted as well, empty as it is.
        return all(replication.get(f"slave{number}", {}).get("state") == "online" for number in (0, 1))

    def url(self, database: int = 0) -> str:
        """The URL of a logical database, as a shop writes it."""
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self._sentinels)
        return f"sentinel://{places}/{database}?master=shop"

    def master(self) -> RedisServer:
        """Who is the master, as a Sentinel says."""
        with self._sentinels[0].client() as client:
            _, port = client.sentinel_get_master_addr_by_name("shop")
        return next(server for server in self.servers if server.port == int(port))

    def replicas(self) -> list[RedisServer]:
        """Those that follow the master."""
        master = self.master()
        return [server for server in self.servers if server is not master]

    def client(self, database: int = 0) -> redis.Redis:
        """A client of the master."""
        places = [("127.0.0.1", sentinel.port) for sentinel in self._sentinels]
        return redis.sentinel.Sentinel(places).master_for("shop", db=database, decode_responses=True)

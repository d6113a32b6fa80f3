"""`pushledger up` as a shop runs it, and as a machine kills it: real processes, killed, and started again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
import redis
from pushledger import Messages, Settings
from pushledger_worker.stack import kill_group

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

_KEY = "a-key-of-the-tests"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Up:
    """A folder, the ports, and the process that runs there just now."""

    def __init__(self, stage: Stage, wait_until: WaitUntil) -> None:
        self.folder = stage.folder / "data"
        self.redis_port, self.dashboard_port, self.sandbox_port = _free_ports(3)
        self._stage = stage
        self._wait_until = wait_until
        self._log = stage.folder / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def arguments(self, *more: str) -> list[str]:
        ports = {"redis": self.redis_port, "dashboard": self.dashboard_port, "sandbox": self.sandbox_port}
        options = [part for name, port in ports.items() for part in (f"--{name}-port", f"{port}")]
        return [sys.executable, "-m", "pushledger", "up", "--data", str(self.folder), "--json", *options, *more]

    def environment(self, **settings: str) -> dict[str, str]:
        """Of the stage, but for its server."""
        own = {"REDIS_URL": "", "ACCOUNT": "", "BACKOFF_LIMIT": "1s", **settings}
        return {**os.environ, **self._stage.environment(**own)}

    def run(self, *more: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run it where it must end by itself."""
        return subprocess.run(
            self.arguments(*more),
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *more: str, **settings: str) -> None:
        """Start it; returns when everything is up."""
        before = len(self.said())
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self.arguments(*more),
                env=self.environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_until(lambda: self._is_up(before), 60, "everything is up")

    def _is_up(self, before: int) -> bool:
        assert self.process.poll() is None, self.text()
        return any("everything is up" in line for line in self.said()[before:])

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def text(self) -> str:
        """All that was written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def said(self, part: str = "up") -> list[str]:
        """The lines of a part."""
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line["line"] for line in lines if line["part"] == part]

    def leashes(self) -> list[int]:
        """The processes that it has started itself; each leads a group."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [line.split() for line in listed.stdout.splitlines()]
        return [int(pid) for pid, parent in pairs if int(parent) == self.process.pid]

    def pid_of(self, part: str) -> int:
        """The process of a part, which its leash has started; waits for one that is just being started again."""
        deadline = time.monotonic() + 15
        while True:
            command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]
            listed = subprocess.run(command, capture_output=True, text=True, check=True)
            rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
            mine = [row for row in rows if len(row) == 3 and int(row[1]) == self.process.pid]
            leashes = {pid for pid, _, command in mine if f" {part} " in command}
            found = [int(row[0]) for row in rows if row[1] in leashes]
            if len(found) == 1:
                return found[0]
            assert time.monotonic() < deadline, f"{part} is not there: {mine}"
            time.sleep(0.05)

    def is_left(self) -> bool:
        """Whether any process of it lives."""
        if not (self.folder / "parts.lock").exists():
            return False
        with (self.folder / "parts.lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def messages(self) -> Messages:
        """As a shop has them that has read shop.env."""
        lines = dict(line.split("=", 1) for line in (self.folder / "shop.env").read_text().splitlines())
        return Messages(Settings(redis_url=lines["PUSHLEDGER_REDIS_URL"], settle_delay=timedelta(seconds=0.3)))

    def kill(self, *groups: int) -> None:
        """SIGKILL its process, and then these groups."""
        os.kill(self.process.pid, signal.SIGKILL)
        for group in groups:
            kill_group(group)
        self.process.wait()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def up(stage: Stage, wait_until: WaitUntil) -> Iterator[Up]:
    """Nothing runs yet; nothing runs afterwards."""
    made = Up(stage, wait_until)
    yield made
    if made._process is not None:
        groups = made.leashes()
        kill_group(made.process.pid)
        for group in groups:
            kill_group(group)
        made.process.wait()
        wait_until(lambda: not made.is_left(), 60, "all its processes have ended")


def _create(messages: Messages, count: int) -> list[str]:
    for number in range(count):
        messages.create(
            f"order:{number}", visitor_id=f"visitor-{number}", text=f"Order {number} received", agent_id="agent"
        )
    return [f"order:{number}" for number in range(count)]


def _are_delivered(messages: Messages, local_ids: list[str]) -> bool:
    found = [messages.get(local_id) for local_id in local_ids]
    return all(one is not None and one.state == "delivered" for one in found)


def test_killed_alone_it_loses_nothing_and_doubles_nothing(stage: Stage, up: Up, wait_until: WaitUntil) -> None:
    """The calls in the air end, the ledger ends after the worker, and the rest is delivered by the next start."""
    up.start(RATE="4/3s")
    stage.sandbox.chances({"kind": "latency", "probability": 1.0, "seconds": 0.8})
    with up.messages() as messages:
        orders = _create(messages, 12)
        wait_until(lambda: stage.sandbox.stats()["requests"] > 0, 20, "calls are in the air")
        up.kill()
        assert len(stage.sandbox.requests("POST")) < 12, "some must wait across the kill"
        up.start(RATE="4/3s")
        wait_until(lambda: _are_delivered(messages, orders), 60, "all are delivered")
        expected = sorted((f"visitor-{number}", f"Order {number} received") for number in range(12))
        assert sorted((one["visitorId"], one["text"]) for one in stage.sandbox.stored()) == expected
        assert len(stage.sandbox.requests("POST")) == 12
        messages.create("order:12", visitor_id="visitor-12", text="Order 12 received", agent_id="agent")
        wait_until(lambda: len(stage.sandbox.requests("POST")) == 13, 20, "a call is in the air")
    assert up.end() == 0
    lines = [json.loads(line)["line"] for line in up.text().splitlines() if line.startswith("{")]
    told = lines.index("stopping: the worker ends its calls first")
    (confirmed,) = [number for number, line in enumerate(lines) if "Send of order:12: confirmed" in line]
    (bye,) = [number for number, line in enumerate(lines) if number > told and "Valkey is now ready to exit" in line]
    assert told < confirmed < bye


def test_killed_with_all_its_processes_it_loses_nothing(stage: Stage, up: Up, wait_until: WaitUntil) -> None:
    """As when the power fails: the last line of the append-only file is cut off too."""
    up.start(RATE="4/3s")
    stage.sandbox.chances({"kind": "latency", "probability": 1.0, "seconds": 0.8})
    with up.messages() as messages:
        orders = _create(messages, 12)
        wait_until(lambda: stage.sandbox.stats()["requests"] > 0, 20, "calls are in the air")
        up.kill(*up.leashes())
        wait_until(lambda: not up.is_left(), 20, "nothing of it lives")
        (tail,) = (up.folder / "valkey" / "appendonlydir").glob("*.incr.aof")
        with tail.open("ab") as file:
            file.write(b"*3\r\n$3\r\nSET\r\n$7\r\nhalf-wri")
        up.start(RATE="4/3s")
        wait_until(lambda: _are_delivered(messages, orders), 80, "all are delivered")
        resends = {local_id: one.resends for local_id in orders if (one := messages.get(local_id))}
    for number in range(12):
        seen = stage.sandbox.seen_by(f"visitor-{number}")
        assert seen in ([f"Order {number} received"], [f"Order {number} received"] * 2)
        assert len(seen) <= 1 + resends[f"order:{number}"]
    assert any("truncat" in line.lower() for line in up.said("valkey")), "the tail was cut off, and that is told"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_killed_with_its_leashes_it_leaves_no_part_behind(up: Up, wait_until: WaitUntil) -> None:
    """What nobody could end would keep the folder from the next start."""
    up.start()
    leashes = up.leashes()
    os.kill(up.process.pid, signal.SIGKILL)
    for leash in leashes:
        os.kill(leash, signal.SIGKILL)
    up.process.wait()
    wait_until(lambda: not up.is_left(), 20, "nothing of it lives")


def test_a_part_that_dies_is_started_again_and_secrets_stay_out_of_sight(
    stage: Stage, up: Up, wait_until: WaitUntil
) -> None:
    up.start(DASHBOARD_TOKENS="")
    token = (up.folder / "dashboard_token").read_text().strip()
    password = (up.folder / "redis_password").read_text().strip()
    page = f"http://127.0.0.1:{up.dashboard_port}/v1/overview"
    with httpx.Client(trust_env=False, headers={"authorization": f"Bearer {token}"}) as client, up.messages() as shop:
        assert client.get(page).status_code == 200
        assert client.get(page, headers={"authorization": ""}).status_code == 401
        for part in ("valkey", "worker", "dashboard"):
            os.kill(up.pid_of(part), signal.SIGKILL)
            told = f"{part} was killed by signal 9; it is started again in 1 s (start 1 of 8 at most in a row)"
            wait_until(lambda told=told: told in up.said(), 20, "the end is told")

        def is_back() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.get(page).status_code == 200
            return False

        wait_until(is_back, 30, "the dashboard is back")
        (order,) = _create(shop, 1)
        wait_until(lambda: _are_delivered(shop, [order]), 30, "it is delivered by the worker that took its place")
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=up.redis_port) as stranger:
        stranger.ping()
    second = up.run()
    assert second.returncode == 1
    assert f"already (process {up.process.pid})" in second.stderr
    assert up.end(signal.SIGINT) == 0
    assert not up.is_left()
    assert up.said()[-1] == "stopped; nothing that was accepted is lost"
    for secret in (_KEY, token, password):
        assert secret not in up.text()


def test_without_an_account_it_delivers_to_the_sandbox(up: Up, wait_until: WaitUntil) -> None:
    """In a folder of its own inside: nothing that was tried out reaches a customer later."""
    refused = up.run(API_KEY="")
    assert refused.returncode == 2
    assert f"put it into the file {up.folder / 'api_key'}" in refused.stderr
    assert "pushledger up --sandbox" in refused.stderr
    base, up.folder = up.folder, up.folder / "sandbox"
    command = up.arguments("--sandbox")
    command[command.index("--data") + 1] = str(base)
    up.arguments = lambda *more: command  # type: ignore[method-assign]  # the verb itself adds the folder
    up.start(API_URL="")
    with up.messages() as messages, httpx.Client(trust_env=False) as client:
        orders = _create(messages, 3)
        wait_until(lambda: _are_delivered(messages, orders), 30, "all are delivered")
        stored = client.get(f"http://127.0.0.1:{up.sandbox_port}/sandbox/messages").json()["messages"]
    assert sorted(one["visitorId"] for one in stored) == ["visitor-0", "visitor-1", "visitor-2"]
    assert f"http://127.0.0.1:{up.sandbox_port}/" in "\n".join(up.said())
    assert up.end() == 0


def test_a_port_that_is_taken_is_named_with_its_option_and_nothing_is_left(up: Up) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", up.dashboard_port))
        other.listen()
        done = up.run()
    assert done.returncode == 1
    assert f"--dashboard-port: port {up.dashboard_port} cannot be had" in done.stderr
    assert not up.is_left()


def test_what_cannot_start_ends_all_with_its_reason_above(up: Up) -> None:
    """Of the parts that did start nothing is left."""
    done = up.run(DASHBOARD_TOKENS="anna:operate:short")
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    said = [line["line"] for line in lines if line["part"] == "dashboard"]
    assert any("PUSHLEDGER_DASHBOARD_TOKENS" in line and "20 or more" in line for line in said)
    giving_up = "giving up: dashboard ended with status 2 before everything was up; its lines above say why"
    assert giving_up in [line["line"] for line in lines if line["part"] == "up"]
    assert not up.is_left()

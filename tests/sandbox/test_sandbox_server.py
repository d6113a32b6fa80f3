"""The command as a process of its own, on real sockets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from brevo_sandbox import Rules, Sandbox
from brevo_sandbox.server import running

COMMAND = (sys.executable, "-m", "brevo_sandbox", "--port", "0", "--rate", "off")
PUSHED = "/v3/conversations/pushedMessages"
KEY = {"api-key": "k"}
ORDER = {"text": "Order received", "visitorId": "visitor-1", "agentId": "agent-1"}


def wait_until(condition: Callable[[], object], why: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s: {why}"
        time.sleep(0.01)


def start(*options: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen((*COMMAND, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, float]:
    began = time.monotonic()
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    return process.returncode, errors, time.monotonic() - began


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    process, line = start()
    assert line.startswith("brevo sandbox ready: http://127.0.0.1:"), line
    yield line.removeprefix("brevo sandbox ready: ").removesuffix("/v3")
    assert stop(process)[:2] == (0, "")


@pytest.fixture
def client(origin: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=origin, headers=KEY, timeout=5) as client:
        client.post("/sandbox/reset")
        yield client


def texts(client: httpx.Client) -> list[str]:
    return [message["text"] for message in client.get("/sandbox/visitors/visitor-1").json()["messages"]]


@pytest.mark.parametrize(("end", "error"), [("reset", httpx.ReadError), ("close", httpx.RemoteProtocolError)])
@pytest.mark.parametrize(("kind", "stored"), [("reset_after", True), ("reset_before", False)])
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh connection", "kept-alive connection"])
def test_a_reset_drops_the_connection_without_an_answer(
    client: httpx.Client, kind: str, stored: bool, end: str, error: type[Exception], fresh: bool
) -> None:
    """A TCP reset and an orderly close look different to the caller; the effect is there or not."""
    client.post("/sandbox/faults", json={"kind": kind, "end": end})
    with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=5) as caller:
        if not fresh:
            caller.get("/sandbox/health")
        with pytest.raises(error):
            caller.post(PUSHED, json=ORDER)
        assert caller.post(PUSHED, json=ORDER | {"text": "next"}).status_code == 200
    assert texts(client) == (["Order received", "next"] if stored else ["next"])
    first = client.get("/sandbox/requests").json()["requests"][0]
    assert (first["status"], first["fault"], first["effect"]) == (None, kind, stored)


@pytest.mark.parametrize(("kind", "stored"), [("timeout_after", True), ("timeout_before", False)])
def test_a_timeout_never_answers(client: httpx.Client, kind: str, stored: bool) -> None:
    """The caller's own patience ends it, and the sandbox notices that it left."""
    client.post("/sandbox/faults", json={"kind": kind})
    with (
        httpx.Client(base_url=client.base_url, headers=client.headers, timeout=0.2) as caller,
        pytest.raises(httpx.ReadTimeout),
    ):
        caller.post(PUSHED, json=ORDER)
    assert len(texts(client)) == stored
    wait_until(lambda: client.get("/sandbox/stats").json()["unanswered"] == 1, "the hang ends")


def test_a_hang_is_bounded(client: httpx.Client) -> None:
    """After its seconds the connection is closed, so no caller without a timeout waits forever."""
    client.post("/sandbox/faults", json={"kind": "timeout_after", "seconds": 0.1})
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(PUSHED, json=ORDER)


@pytest.mark.parametrize(
    ("end", "error"),
    [("reset", httpx.ReadError), ("close", httpx.RemoteProtocolError), ("hang", httpx.ReadTimeout)],
)
def test_a_late_effect_follows_the_lost_answer(client: httpx.Client, end: str, error: type[Exception]) -> None:
    """The caller has given up before the message is stored."""
    client.post("/sandbox/faults", json={"kind": "late_effect", "seconds": 0.6, "end": end})
    with (
        httpx.Client(base_url=client.base_url, headers=client.headers, timeout=0.2) as caller,
        pytest.raises(error),
    ):
        caller.post(PUSHED, json=ORDER)
    assert texts(client) == []
    wait_until(lambda: texts(client) == ["Order received"], "the late effect")
    entry = client.get("/sandbox/requests").json()["requests"][0]
    assert (entry["status"], entry["effect"]) == (None, True)
    assert entry["message_id"]


def test_a_late_effect_may_follow_an_error(client: httpx.Client) -> None:
    """A proxy gives up while the request is still being carried out."""
    order = {"kind": "late_effect", "seconds": 0.2, "end": "answer", "status": 504}
    client.post("/sandbox/faults", json=order)
    assert client.post(PUSHED, json=ORDER).status_code == 504
    assert texts(client) == []
    wait_until(lambda: texts(client) == ["Order received"], "the late effect")


def test_a_reset_sandbox_sees_no_late_effect_from_before(client: httpx.Client) -> None:
    """What was ordered before a reset cannot disturb what comes after it."""
    client.post("/sandbox/faults", json={"kind": "late_effect", "seconds": 0.1, "end": "answer"})
    client.post("/sandbox/faults", json={"kind": "late_effect", "seconds": 0.2, "end": "answer"})
    client.post(PUSHED, json=ORDER)
    client.post("/sandbox/reset")
    client.post("/sandbox/faults", json={"kind": "late_effect", "seconds": 0.2, "end": "answer"})
    client.post(PUSHED, json=ORDER | {"text": "after"})
    wait_until(lambda: texts(client), "the second late effect")
    assert texts(client) == ["after"]


def test_a_drop_hits_only_its_own_connection(client: httpx.Client) -> None:
    """Another request in the air at the same time is answered."""
    client.post("/sandbox/faults", json={"kind": "latency", "seconds": 0.5, "text_contains": "slow"})
    client.post("/sandbox/faults", json={"kind": "reset_after", "text_contains": "dropped"})
    statuses: list[int] = []

    def slow() -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers) as caller:
            statuses.append(caller.post(PUSHED, json=ORDER | {"text": "slow"}).status_code)

    thread = threading.Thread(target=slow)
    thread.start()
    wait_until(lambda: client.get("/sandbox/stats").json()["concurrent"] == 1, "the slow request")
    with pytest.raises(httpx.ReadError):
        client.post(PUSHED, json=ORDER | {"text": "dropped"})
    thread.join(5)
    assert statuses == [200]
    assert client.get("/sandbox/stats").json()["max_concurrent"] == 2


def test_answers_on_a_kept_alive_connection_are_not_held_back(client: httpx.Client) -> None:
    """Small answers leave at once; held back by the kernel, thirty of them would take more than a second."""
    began = time.monotonic()
    for _ in range(30):
        client.post(PUSHED, json=ORDER)
    assert time.monotonic() - began < 1


def test_an_encoded_slash_reaches_the_message(client: httpx.Client) -> None:
    """The path on the wire is decoded once."""
    assert client.get(f"{PUSHED}/a%252Fb%2F%0Ac").status_code == 404
    entry = client.get("/sandbox/requests").json()["requests"][0]
    assert entry["path"] == f"{PUSHED}/a%2Fb/\nc"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_even_with_hanging_requests(number: int) -> None:
    """It leaves with 0 and without a word, within a second."""
    process, line = start("--fault", "POST:timeout_after=1", "--fault", "PUT:latency=1@60s")
    origin = line.removeprefix("brevo sandbox ready: ").removesuffix("/v3")

    def hang(method: str) -> None:
        with (
            httpx.Client(base_url=origin, headers=KEY) as caller,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            caller.request(method, PUSHED, json=ORDER)

    threads = [threading.Thread(target=hang, args=(method,)) for method in ("POST", "PUT")]
    for thread in threads:
        thread.start()
    wait_until(lambda: httpx.get(f"{origin}/sandbox/stats").json()["concurrent"] == 2, "two hanging requests")
    code, errors, seconds = stop(process, number)
    for thread in threads:
        thread.join(5)
    assert (code, errors) == (0, "")
    assert seconds < 1


def test_the_ready_line_may_be_json() -> None:
    """It holds the base URL and the page."""
    process, line = start("--json-ready", "--key", "secret")
    ready = json.loads(line)
    assert httpx.get(ready["page"]).status_code == 200
    assert httpx.get(f"{ready['url']}/x", headers={"api-key": "wrong"}).status_code == 401
    assert stop(process)[0] == 0


def test_a_taken_port_is_said_in_a_sentence(origin: str) -> None:
    """No traceback."""
    port = origin.rpartition(":")[2]
    done = subprocess.run((*COMMAND, "--port", port), capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: cannot listen on 127.0.0.1 port {port}: ")
    assert "Traceback" not in done.stderr


def test_the_command_line_turns_switches() -> None:
    """The older options turn theirs as before."""
    process, line = start("--rule", "bucket=key", "--rule", "longest_text=5", "--without-sender", "--count-refused")
    origin = line.removeprefix("brevo sandbox ready: ").removesuffix("/v3")
    changed = {"bucket": "key", "longest_text": 5, "require_sender": False, "count_refused": True}
    assert httpx.get(f"{origin}/sandbox/rules").json() == Rules().as_json() | changed
    assert stop(process)[0] == 0


@pytest.mark.parametrize(
    "option", [("--fault", "nonsense=1"), ("--rate", "often"), ("--rule", "bucket=planet"), ("--rule", "unknown=1")]
)
def test_a_bad_option_is_said_in_a_sentence(option: tuple[str, str]) -> None:
    """The option is named."""
    done = subprocess.run((*COMMAND, *option), capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert f"Invalid value for '{option[0]}'" in done.stderr


def test_a_thread_can_serve_it() -> None:
    """Tests in one process get real sockets and the state behind them."""
    sandbox = Sandbox()
    with running(sandbox) as url:
        answer = httpx.post(f"{url}/conversations/pushedMessages", json=ORDER, headers={"api-key": "k"})
        assert answer.status_code == 200
    assert [message.text for message in sandbox.store.chat("visitor-1")] == ["Order received"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)

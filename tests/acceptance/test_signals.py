"""The people on duty are told by real workers: through a webhook, a function and the log, once each."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

SECRET = "a-secret-of-the-tests"
TEXT = "zaffre-text-4711"


class Duty:
    """A receiver of webhooks on a free port of its own."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[tuple[dict[str, str], bytes]] = []
        duty = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                duty.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(duty.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def settings(self) -> dict[str, str]:
        port = self.server.server_address[1]
        return {"SIGNAL_URL": f"http://127.0.0.1:{port}/in/t0ken", "SIGNAL_SECRET": SECRET}

    def told(self) -> list[dict[str, str]]:
        """Every signal that was taken, in the order in which they came."""
        return [signal for _, body in list(self.requests) for signal in json.loads(body)["signals"]]

    def kinds(self) -> list[str]:
        return [signal["kind"] for signal in self.told()]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def duty() -> Iterator[Duty]:
    made = Duty()
    yield made
    made.close()


def test_what_fails_and_pauses_is_told_once_by_two_workers_in_a_signed_webhook(
    stage: Stage, duty: Duty, wait_until: WaitUntil
) -> None:
    workers = [stage.worker(**duty.settings) for _ in range(2)]
    fine = stage.create(1)
    wait_until(lambda: stage.rests(fine), 10, "one is delivered")
    stage.sandbox.fault("refused")
    bad = stage.create(2, text=TEXT)
    wait_until(lambda: duty.told(), 10, "it is told")
    stage.messages.pause(reason="stocktaking")
    wait_until(lambda: "paused" in duty.kinds(), 10, "the pause is told")
    stage.messages.resume()
    wait_until(lambda: "resumed" in duty.kinds(), 10, "its end is told")

    failed, paused, resumed = duty.told()
    assert (failed["kind"], failed["local_id"], failed["reason"]) == ("failed", bad, "refused")
    assert (paused["reason"], resumed["reason"]) == ("stocktaking", "stocktaking")
    for headers, body in duty.requests:
        signed = headers["pushledger-timestamp"].encode() + b"." + body
        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert headers["pushledger-signature"] == f"sha256={expected}"
        assert json.loads(body)["account"] == stage.account
    logs = "".join(worker.text() for worker in workers)
    assert logs.count(f"{bad} is failed: refused") == 1
    outside = logs + "".join(body.decode() for _, body in duty.requests)
    for secret in (TEXT, "visitor-2", "a-key-of-the-tests", SECRET, "t0ken"):
        assert secret not in outside


def test_a_webhook_that_is_away_holds_up_nothing_and_hears_it_when_it_is_back(
    stage: Stage, duty: Duty, wait_until: WaitUntil
) -> None:
    duty.status = 503
    worker = stage.worker(**duty.settings)
    stage.sandbox.fault("refused")
    bad = stage.create(1)
    wait_until(lambda: duty.requests, 10, "it is tried")
    fine = stage.create(2)
    wait_until(lambda: stage.rests(bad, fine), 5, "another is delivered meanwhile")
    assert stage.message(fine).state == "delivered"
    duty.status = 200
    tries = len(duty.requests)
    wait_until(lambda: len(duty.requests) > tries, 20, "it is told")
    assert {signal["id"] for signal in duty.told()} == {duty.told()[0]["id"]}, "each try has the same id"
    wait_until(lambda: signals(stage) == 0, 5, "and done")
    assert "status 503" in worker.text()


def signals(stage: Stage) -> int:
    """How many signals the ledger still keeps."""
    with stage.valkey.client() as client:
        return int(client.zcard(f"pushledger:{{{stage.account}}}:signals"))


def test_a_worker_that_stops_leaves_what_is_not_told_to_the_next(
    stage: Stage, duty: Duty, wait_until: WaitUntil
) -> None:
    """At once, without waiting for the lease."""
    duty.status = 503
    first = stage.worker(**duty.settings)
    stage.messages.pause(reason="stocktaking")
    wait_until(lambda: duty.requests, 10, "it is tried")
    first.terminate()
    assert first.ends(15) == 0, first.text()
    duty.status, tries = 200, len(duty.requests)
    stage.worker(**duty.settings)
    wait_until(lambda: len(duty.requests) > tries, 10, "the next worker tells it")
    wait_until(lambda: signals(stage) == 0, 5, "and it is done")
    assert duty.kinds()[tries:] == ["paused"]


def test_what_a_killed_worker_had_told_is_not_told_again_by_the_next(
    stage: Stage, duty: Duty, wait_until: WaitUntil
) -> None:
    first = stage.worker(**duty.settings)
    stage.messages.pause(reason="stocktaking")
    wait_until(lambda: duty.requests and not signals(stage), 10, "it is told, and written down")
    first.kill()
    stage.worker(**duty.settings)
    stage.messages.resume()
    wait_until(lambda: len(duty.told()) > 1, 10, "the next one goes on")
    assert duty.kinds() == ["paused", "resumed"]


def test_a_message_that_is_overdue_and_a_function_of_ones_own(stage: Stage, wait_until: WaitUntil) -> None:
    heard = stage.folder / "heard"
    (stage.folder / "duty_hook.py").write_text(
        "from pathlib import Path\n\n\n"
        f"def on_signal(signal):\n    with Path({str(heard)!r}).open('a') as file:\n"
        "        print(signal.kind, signal.local_id, file=file)\n"
    )
    stage.messages.pause(reason="stocktaking")
    stage.create(1)
    stage.process(
        ["-m", "pushledger", "worker"],
        environment={"PYTHONPATH": str(stage.folder)},
        SIGNAL_HOOK="duty_hook:on_signal",
        SIGNAL_AGE="1s",
    )
    wait_until(lambda: heard.exists() and "overdue" in heard.read_text(), 10, "the delay is told")
    stage.messages.resume()
    wait_until(lambda: "caught_up" in heard.read_text(), 10, "its end is told")
    kinds = [line.split()[0] for line in heard.read_text().splitlines()]
    assert sorted(kinds) == ["caught_up", "overdue", "paused", "resumed"]


def test_a_hook_that_cannot_be_loaded_ends_the_worker_with_one_clear_line(stage: Stage) -> None:
    worker = stage.process(["-m", "pushledger", "worker"], ready=False, SIGNAL_HOOK="no_such_module:f")
    assert worker.ends(20) != 0
    assert "PUSHLEDGER_SIGNAL_HOOK: cannot be loaded (ModuleNotFoundError" in worker.text().splitlines()[-1]
    assert "Traceback" not in worker.text()

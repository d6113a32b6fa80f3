"""`pushledger check` over real processes: a wake-up really travels, and the key costs one call at most."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acceptance.conftest import Stage


def check(stage: Stage, status: int, **settings: str) -> dict[str, dict[str, Any]]:
    """What it finds, by name; it must end with this status."""
    done = stage.run("check", "--wait", "5s", "--json", **settings)
    assert done.returncode == status, done.stdout + done.stderr
    assert "a-key-of-the-tests" not in done.stdout + done.stderr
    return {found["name"]: found for found in json.loads(done.stdout)["checks"]}


def test_all_is_well_with_a_worker_and_costs_one_call(stage: Stage) -> None:
    stage.worker()
    done = stage.run("check")
    assert done.returncode == 0, done.stdout + done.stderr
    title, *lines = done.stdout.splitlines()
    assert title.split()[:2] == ["CHECK", "OUTCOME"]
    assert {line.split("  ")[0] for line in lines} == {
        *("server", "persistence", "eviction", "memory", "clock", "broker", "worker", "api key", "versions"),
        "outbox",
    }
    assert "a wake-up came through within" in done.stdout
    assert [(one["method"], one["status"]) for one in stage.sandbox.requests()] == [("GET", 404)]
    assert stage.messages.stats()["calls"] == 1


def test_a_worker_that_is_gone_is_told_after_the_wait_and_with_its_last_delivery(stage: Stage) -> None:
    worker = stage.worker()
    assert check(stage, 0)["worker"]["outcome"] == "ok"
    worker.kill()
    found = check(stage, 1)["worker"]
    assert found["outcome"] == "failed"
    assert "the last one began at" in found["sentence"]
    assert "start `pushledger worker`" in found["sentence"]


def test_a_worker_of_another_account_is_none(stage: Stage) -> None:
    stage.worker(ACCOUNT=f"{stage.account}-b")
    assert check(stage, 1)["worker"]["outcome"] == "failed"


def test_a_refused_key_is_told_and_does_not_pause_the_account(stage: Stage) -> None:
    stage.sandbox.fault("unauthorized")
    found = check(stage, 1)["api key"]
    assert (found["outcome"], "(401)" in found["sentence"]) == ("failed", True)
    assert stage.messages.account().pause is None, "the key of this shell may be wrong, and that of the workers right"


def test_a_key_file_that_is_not_there_is_named_and_one_that_nobody_needs_is_left_out(stage: Stage) -> None:
    """compose.yaml names the file whether it is there or not, also for what is run in a worker's container."""
    found = check(stage, 1, API_KEY="", API_KEY_FILE="/nowhere/api_key")["api key"]
    assert found["outcome"] == "failed"
    assert found["sentence"].startswith("PUSHLEDGER_API_KEY_FILE: cannot be read")
    assert stage.sandbox.requests() == []
    assert check(stage, 1, API_KEY_FILE="/nowhere/api_key")["api key"]["outcome"] == "ok"


def test_the_key_is_skipped_when_no_call_is_free(stage: Stage) -> None:
    stage.messages.pause()
    assert "the account is paused" in check(stage, 1)["api key"]["sentence"]
    stage.messages.resume()
    found = [check(stage, 1, RATE="1/hour")["api key"] for _ in range(2)]
    assert [one["outcome"] for one in found] == ["ok", "skipped"]
    assert "the budget is spent" in found[1]["sentence"]
    assert len(stage.sandbox.requests()) == 1


def test_messages_that_wait_go_before_the_key(stage: Stage) -> None:
    stage.create(1)
    assert "messages that can be sent go first" in check(stage, 1)["api key"]["sentence"]
    assert stage.sandbox.requests() == []

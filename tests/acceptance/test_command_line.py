"""The command line as a shop's people use it: real processes over a real ledger."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

SENDER = ("--visitor", "visitor-1", "--agent", "agent")


def test_a_message_is_created_changed_and_deleted_from_the_command_line(stage: Stage, wait_until: WaitUntil) -> None:
    stage.worker(RETENTION="1h")
    queued = {"local_id": "order:1", "revision": 1, "outcome": "queued"}
    assert stage.json("create", "order:1", *SENDER, "--text", "Order received") == queued
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 5, "it is shown")
    wait_until(lambda: stage.rests("order:1"), 5, "it is at rest")
    assert stage.run("update", "order:1", "--text", "Packed").stdout == "order:1: queued, revision 2\n"
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Packed"], 5, "the update is shown")
    stage.run("upsert", "order:1", *SENDER, "--text", "Shipped", RETENTION="1h")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 5, "the upsert is shown")
    wait_until(lambda: stage.rests("order:1"), 5, "it is at rest")

    shown = stage.json("show", "order:1", RETENTION="1h")
    assert (shown["state"], shown["revision"], shown["resends"]) == ("delivered", 3, 0)
    assert shown["message_id"] == stage.sandbox.stored()[0]["id"]
    assert [event["event"] for event in shown["timeline"]][:1] == ["accepted"]
    assert "Order received" not in json.dumps(shown["timeline"])

    assert stage.run("delete", "order:1").returncode == 0
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == [], 5, "it is gone")
    wait_until(lambda: stage.message("order:1").state == "deleted", 5, "the ledger knows")


def test_waiting_messages_are_listed(stage: Stage) -> None:
    for number in range(3):
        stage.create(number)
    listed = stage.json("list", "--state", "queued")
    assert {one["local_id"] for one in listed} == {"order:0", "order:1", "order:2"}
    assert {one["state"] for one in listed} == {"queued"}
    assert stage.json("list", "--state", "held") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("update", "order:404", "--text", "Packed"), "order:404"),
        (("delete", "order:404"), "order:404"),
        (("create", "order:1", "--visitor", "v", "--text", "x"), "agent_id"),
        (("create", "order:1", *SENDER, "--group", "g", "--text", "x"), "group_id"),
        (("create", "order:1", *SENDER, "--text", ""), "text"),
        (("create", "", *SENDER, "--text", "x"), "local_id"),
        (("create", "order:1", *SENDER, "--text", "x", "--version", "soon"), "version"),
        (("create", "order:1", *SENDER, "--text", "x", "--not-before", "tomorrow"), "not_before"),
        (("create", "order:1", *SENDER, "--text", "x", "--max-resends", "-1"), "max_resends"),
        (("list", "--state", "lost"), "lost"),
        (("shout",), "shout"),
    ],
)
def test_wrong_input_is_one_clear_line_and_status_2(stage: Stage, arguments: tuple[str, ...], said: str) -> None:
    done = stage.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *usage, line = done.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert all(part.startswith(("Usage:", "Try ")) or not part for part in usage)


def test_a_setting_that_does_not_fit_is_named(stage: Stage) -> None:
    done = stage.run("list", "--state", "queued", REDIS_URL="http://localhost")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: PUSHLEDGER_REDIS_URL: must start with redis://")
    assert len(done.stderr.splitlines()) == 1


def test_a_ledger_that_is_away_is_status_1(stage: Stage) -> None:
    done = stage.run("show", "order:1", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_message_is_status_1(stage: Stage) -> None:
    assert stage.run("show", "order:404", "--json").returncode == 1


def test_a_watch_outlives_the_ledger_and_ends_with_130(stage: Stage, wait_until: WaitUntil) -> None:
    watch = stage.process(["-m", "pushledger", "status", "--watch", "--every", "100ms"], ready=False)
    wait_until(lambda: "0 queued" in watch.text(), 10, "it shows how the account stands")
    stage.valkey.kill()
    try:
        wait_until(lambda: "the ledger's Redis did not do it" in watch.text(), 10, "it says that the ledger is away")
        assert watch.process.poll() is None
    finally:
        stage.valkey.start()
    stage.create(1)
    wait_until(lambda: "1 queued" in watch.text(), 10, "it goes on")
    watch.process.send_signal(signal.SIGINT)
    assert watch.ends(10) == 130, watch.text()
    assert "Traceback" not in watch.text()
    assert all(line.startswith("20") for line in watch.text().splitlines()), "one line a look"


def test_the_demo_keeps_its_promises_and_its_figures_agree() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pushledger", "demo", "--orders", "40", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    assert figures["promises_kept"] is True
    assert figures["orders"] == 40
    assert figures["calls"] + figures["calls_saved"] == figures["jobs"]
    assert 0 < figures["calls"] < figures["jobs"]
    assert figures["right"] + figures["held"] + figures["failed"] == 40
    broken = ("lost", "wrong_text", "shown_more_often_than_allowed", "doubled_without_mark", "unfinished", "strayed")
    assert {name: figures[name] for name in broken} == dict.fromkeys(broken, 0)
    assert figures["failed"] == 0
    assert figures["answers_429"] == 0
    # A held one may have left a copy though its create was never sent again: the order was cancelled meanwhile.
    assert figures["shown_twice"] <= figures["resends"] + figures["held"]
    assert figures["seconds"] < 40

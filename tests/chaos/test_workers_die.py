"""Workers killed in a storm, and workers that freeze for longer than they may hold what they took."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from chaos.conftest import passed, signal_group, sized

if TYPE_CHECKING:
    from chaos.conftest import Scene
    from conftest import WaitUntil


@pytest.mark.timeout(600)
def test_a_worker_is_killed_every_other_second(scene: Scene, wait_until: WaitUntil) -> None:
    """Promise 1, 2 and 5 through SIGKILL: each is replaced, and each of its calls in the air is an unknown outcome."""
    messages, least_kills = sized(5000, 400), sized(15, 3)
    scene.stage.sandbox.chances({"kind": "latency", "seconds": 0.03, "probability": 1.0})
    settings = {"CALL_TIMEOUT": "1500ms", "LEASE_MARGIN": "1s"}
    workers = [scene.stage.worker(ready=False, **settings) for _ in range(2)]
    kills, last_kill = 0, time.monotonic()

    def strike_until(condition: Callable[[], bool]) -> bool:
        nonlocal kills, last_kill
        if time.monotonic() > last_kill + 2 and workers[1].is_ready():
            workers.pop(0).kill()
            workers.append(scene.stage.worker(ready=False, **settings))
            kills, last_kill = kills + 1, time.monotonic()
        return condition()

    for start in range(0, messages, 20):
        scene.shop.create(*range(start, start + 20))
        scene.shop.update(*range(start // 2, start // 2 + 10), text=f"Packed {start}")
        pace = passed(0.2)
        wait_until(lambda pace=pace: strike_until(pace), 5, "the shop's next events")  # type: ignore[misc]
    wait_until(lambda: strike_until(lambda: kills >= least_kills), 60, "the workers are killed")
    scene.trouble_is_over()
    found = scene.verdict()
    scene.remark(f"{kills} workers killed")
    assert found.held <= 4 * kills, "no more than were in the air"


def test_a_worker_that_froze_between_claim_and_send_sends_nothing_afterwards(
    scene: Scene, wait_until: WaitUntil
) -> None:
    """R4: whoever wakes up past send-by drops the call; another worker has taken the message over meanwhile."""
    proxy = scene.ledger_proxy()
    frozen = scene.worker(ledger=proxy, REDIS_TIMEOUT="30s")
    proxy.spoil("claim", "hold")
    scene.shop.create(0)
    wait_until(lambda: scene.stage.message("order:0").state == "sending", 5, "the message is claimed")
    wait_until(lambda: proxy.holds, 5, "and the worker does not know it yet")
    signal_group(frozen, signal.SIGSTOP)
    proxy.thaw()
    scene.worker()
    wait_until(lambda: scene.stage.rests("order:0"), 10, "another worker takes it back and sends it")
    signal_group(frozen, signal.SIGCONT)
    scene.trouble_is_over()
    wait_until(lambda: "unsent came too late" in frozen.text(), 10, "the frozen worker goes on")
    found = scene.verdict()
    scene.remark("the late worker sent nothing")
    assert (found.right, found.doubled) == (1, 0)
    assert scene.stage.sandbox.stats()["methods"] == {"POST": 1}


@pytest.mark.parametrize("frozen_by", ["ledger", "process"])
def test_the_answer_of_a_worker_that_comes_too_late_hands_in_the_id(
    scene: Scene, wait_until: WaitUntil, frozen_by: str
) -> None:
    """R8: adopted where no id is known, else removed as an extra copy; whether the worker or its way was frozen."""
    proxy = scene.ledger_proxy()
    scene.stage.sandbox.fault("latency", methods=["POST"], seconds=0.6, times=2)
    late = scene.worker(ledger=proxy)
    scene.shop.create(0, max_resends=0)
    scene.shop.create(1)
    wait_until(lambda: scene.posts_in_the_air() == 2, 5, "both creates are in the air")
    if frozen_by == "process":
        signal_group(late, signal.SIGSTOP)
    proxy.freeze()
    scene.worker()
    wait_until(lambda: scene.stage.rests("order:0", "order:1"), 15, "another worker takes both back")
    assert scene.stage.message("order:0").state == "held"
    assert len(scene.stage.sandbox.seen_by("visitor-1")) == 2
    proxy.thaw()
    signal_group(late, signal.SIGCONT)
    scene.trouble_is_over()
    wait_until(lambda: scene.stage.message("order:0").state == "delivered", 10, "the late id is adopted")
    wait_until(lambda: len(scene.stage.sandbox.seen_by("visitor-1")) == 1, 10, "the extra copy is removed")
    found = scene.verdict()
    scene.remark("ids handed in late: one adopted, one extra copy removed")
    assert (found.right, found.held, found.doubled) == (2, 0, 0)


BROKEN = """
from celery import bootsteps
from pushledger.cli import main
from pushledger_worker.app import app

class Broken(bootsteps.StartStopStep):
    def start(self, consumer):
        raise RuntimeError("a bug")

app.steps["consumer"].add(Broken)
main()
"""


def test_a_worker_that_ends_by_an_error_says_so_in_its_exit_status(scene: Scene) -> None:
    """A supervisor that starts again on failure must see one."""
    worker = scene.stage.process(["-c", BROKEN, "worker"], ready=False)
    assert worker.process.wait(20) == 1, worker.text()
    assert "Unrecoverable error: RuntimeError('a bug')" in worker.text()

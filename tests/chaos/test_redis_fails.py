"""Valkey killed, frozen, full, emptied; its answers lost, its connections cut."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from chaos.conftest import new, passed, signal_group, sized
from chaos.proxy import VERBS
from pushledger import LedgerUnavailable

if TYPE_CHECKING:
    from chaos.conftest import Scene
    from conftest import WaitUntil


@contextmanager
def full(scene: Scene) -> Iterator[None]:
    """Let the server have no room for anything new."""
    with scene.stage.valkey.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


def test_valkey_is_killed_and_started_again_while_messages_flow(scene: Scene, wait_until: WaitUntil) -> None:
    """Promise 1 with the append-only file on: what was acknowledged is there again."""
    rounds = sized(6, 2)
    scene.stage.sandbox.chances({"kind": "latency", "seconds": 0.05, "probability": 1.0})
    workers = [scene.worker(ready=False) for _ in range(2)]
    for worker in workers:
        wait_until(worker.is_ready, 30, "the worker is ready")
    for round_ in range(rounds):
        start = round_ * 40
        for first in range(start, start + 40, 5):
            scene.shop.create(*range(first, first + 5))
        wait_until(scene.posts_in_the_air, 20, "creates are in the air")
        scene.stage.valkey.kill()
        update = [new(start + 1000)]
        assert not scene.shop.try_to_say(*update), "refused while it is away"
        wait_until(passed(0.7), 3, "the workers notice")
        scene.stage.valkey.start()
        scene.shop.say(*update)
        scene.shop.update(*range(start, start + 40, 2), text=f"Packed {round_}")
    scene.trouble_is_over()
    found = scene.verdict()
    scene.remark(f"killed {rounds} times; an answer to the shop took {scene.shop.slowest:.2f} s at most")
    assert [worker.process.poll() for worker in workers] == [None, None]
    assert found.doubled == found.held == 0, "the workers kept their outcomes and handed them in"


@pytest.mark.parametrize("verb", VERBS)
def test_the_reply_of_a_script_is_lost(scene: Scene, wait_until: WaitUntil, verb: str) -> None:
    """Each script may run twice: the end is that of a run in which nothing went wrong, and so are the calls."""
    proxy = scene.ledger_proxy()
    shop = scene.shop_behind(proxy)
    scene.worker(ledger=proxy, TICK="200ms")
    # No more than fit into a lease: past it a message whose claim nobody heard of would count as sent.
    proxy.spoil(verb, "after", every=2, times=4)
    for number in range(8):
        shop.create(number)
        if number % 2:  # Many outcomes share a script: four scripts at the least.
            wait_until(scene.stage.is_idle, 20, "all so far are delivered")
    assert proxy.struck[verb] >= 2
    proxy.heal()
    reset = proxy.struck[verb]
    proxy.spoil(verb, "silence")
    shop.update(*range(8), text="Packed")
    wait_until(lambda: proxy.struck[verb] > reset, 20, "one more reply is lost")
    scene.trouble_is_over()
    wait_until(scene.stage.is_idle, 20, "all show the new text")
    shop.delete(*range(4))
    found = scene.verdict()
    scene.remark(f"{proxy.struck[verb]} replies lost")
    assert (found.right, found.doubled) == (8, 0)
    assert scene.stage.sandbox.stats()["methods"] == {"POST": 8, "PUT": 8, "DELETE": 4}
    messages = [scene.stage.message(f"order:{number}") for number in range(8)]
    assert [(one.state, one.revision, one.resends, one.maybe_doubled) for one in messages] == [
        *[("deleted", 3, 0, False)] * 4,
        *[("delivered", 2, 0, False)] * 4,
    ]


def test_valkey_freezes_and_goes_on(scene: Scene, wait_until: WaitUntil) -> None:
    """Longer than the lease of what is in the air; what it was asked meanwhile it does when it goes on."""
    scene.stage.sandbox.chances({"kind": "latency", "seconds": 0.3, "probability": 1.0})
    workers = [scene.worker(ready=False) for _ in range(2)]
    for worker in workers:
        wait_until(worker.is_ready, 30, "the worker is ready")
    scene.shop.create(*range(24))
    wait_until(scene.posts_in_the_air, 5, "creates are in the air")
    with scene.stage.valkey.client() as client:
        process_id = client.info("server")["process_id"]
    os.kill(process_id, signal.SIGSTOP)
    over = passed(sized(10, 3.5))
    delayed = [new(100), new(101)]
    assert not scene.shop.try_to_say(*delayed)
    assert scene.shop.slowest < 2, "a shop is not held up for longer"
    wait_until(over, 15, "it stays frozen")
    os.kill(process_id, signal.SIGCONT)
    scene.trouble_is_over()
    scene.shop.say(*delayed)
    found = scene.verdict()
    scene.remark(f"an answer to the shop took {scene.shop.slowest:.2f} s at most")
    assert found.right == 26
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_the_brokers_database_is_emptied_while_running(scene: Scene, wait_until: WaitUntil) -> None:
    """The broker holds hints, nothing else: the tick finds the work."""
    worker = scene.worker()
    scene.stage.sandbox.chances({"kind": "latency", "seconds": 0.02, "probability": 1.0})
    with scene.stage.valkey.client(1) as broker:
        for start in range(0, sized(400, 80), 10):
            scene.shop.create(*range(start, start + 10))
            broker.flushdb()
    scene.trouble_is_over()
    found = scene.verdict()
    assert found.doubled == found.held == 0
    assert worker.process.poll() is None


def test_valkey_is_full(scene: Scene, wait_until: WaitUntil) -> None:
    """Producers hear of it at once; the ids of answers are still written, and a shift that runs delivers on."""
    scene.stage.sandbox.chances({"kind": "latency", "seconds": 0.3, "probability": 1.0})
    worker = scene.worker(RATE="1000/10s", SHIFT="60s")
    scene.shop.create(*range(sized(200, 32)))
    wait_until(scene.posts_in_the_air, 5, "creates are in the air")
    refused = [new(1000)]
    with full(scene):
        assert not scene.shop.try_to_say(*refused)
        assert scene.shop.slowest < 1
        with pytest.raises(LedgerUnavailable, match="maxmemory"):
            scene.stage.create(1001)
        wait_until(scene.stage.is_idle, 60, "all are delivered while the server is full")
        assert all(scene.stage.message(local_id).message_id for local_id in scene.shop.texts)
    scene.trouble_is_over()
    scene.shop.say(*refused)
    found = scene.verdict()
    scene.remark(f"an answer to the shop took {scene.shop.slowest:.2f} s at most; the worker lived on")
    assert found.held == found.doubled == 0
    assert worker.process.poll() is None


def test_a_wake_up_that_meets_a_full_server_does_not_end_the_worker(scene: Scene, wait_until: WaitUntil) -> None:
    """The broker shares the server, and kombu notes what it hands out: that is refused, and must not be the end."""
    worker = scene.worker()
    signal_group(worker, signal.SIGSTOP)
    scene.shop.create(*range(20))
    with full(scene):
        signal_group(worker, signal.SIGCONT)
        wait_until(lambda: "OutOfMemoryError" in worker.text(), 10, "the worker met it")
        wait_until(passed(sized(15, 3)), 20, "it stays full")
        assert worker.process.poll() is None
    scene.trouble_is_over()
    found = scene.verdict()
    scene.remark("no supervisor was needed")
    assert found.held == found.doubled == 0
    assert worker.process.poll() is None


def test_the_way_to_the_ledger_is_cut_and_slow_and_frozen(scene: Scene, wait_until: WaitUntil) -> None:
    """One worker of two, and the shop, behind a bad network."""
    proxy = scene.ledger_proxy()
    shop = scene.shop_behind(proxy)
    scene.stage.sandbox.chances({"kind": "latency", "seconds": 0.05, "probability": 1.0})
    scene.worker()
    scene.worker(ledger=proxy)
    proxy.delay = 0.02
    for round_ in range(sized(12, 3)):
        shop.create(*range(round_ * 20, round_ * 20 + 20))
        wait_until(scene.posts_in_the_air, 20, "creates are in the air")
        proxy.cut()
        shop.update(*range(round_ * 20, round_ * 20 + 10), text="Packed")
        proxy.freeze()
        wait_until(passed(0.7), 3, "it stays frozen")
        proxy.thaw()
    scene.trouble_is_over()
    found = scene.verdict()
    assert found.held == found.doubled == 0

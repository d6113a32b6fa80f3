"""Ledger and broker behind Sentinels: the master dies, another takes over, and nobody is asked to do anything."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import pytest
from pushledger import AsyncMessages, Message, Messages
from pushledger.errors import LedgerUnavailable, PushledgerError

if TYPE_CHECKING:
    from conftest import WaitUntil
    from services.conftest import StageOn
    from services.sentinels import Replicated

T = TypeVar("T")
ORDER = {"visitor_id": "visitor", "agent_id": "agent", "text": "Order received"}


def test_a_master_killed_in_the_middle_of_deliveries_is_replaced(
    replicated: Replicated, stage_on: StageOn, wait_until: WaitUntil
) -> None:
    """Two workers and a shop go on by themselves. What replication had not carried over is lost, and counted here."""
    stage = stage_on(replicated)
    workers = [stage.worker() for _ in range(2)]
    accepted: dict[str, float] = {}
    ended = threading.Event()

    def enqueue() -> None:
        number = 0
        while not ended.is_set():
            local_id, visitor = f"order:{number}", f"visitor-{number}"
            with contextlib.suppress(PushledgerError):
                stage.messages.upsert(local_id, visitor_id=visitor, agent_id="a", text="Packed", job_id=local_id)
                accepted[local_id] = time.monotonic()
                number += 1
            ended.wait(0.01)

    shop = threading.Thread(target=enqueue)
    shop.start()
    try:
        wait_until(lambda: len(stage.sandbox.requests("POST")) > 50, 20, "deliveries are under way")
        master = replicated.master()
        killed = time.monotonic()
        master.kill()
        wait_until(lambda: replicated.master() is not master, 30, "another is the master")
        taken_over = len(accepted)
        wait_until(lambda: len(accepted) > taken_over + 50, 30, "the shop goes on")
        resumed = next(at for at in sorted(accepted.values()) if at > killed + 0.5)
    finally:
        ended.set()
        shop.join()
    wait_until(stage.is_idle, 60, "the workers go on, and nothing waits any more")
    lost = [local_id for local_id in accepted if stage.messages.get(local_id) is None]
    copies = [len(stage.sandbox.seen_by(f"visitor-{local_id[6:]}")) for local_id in accepted]
    print(
        f"{len(accepted)} accepted, {len(lost)} lost, {copies.count(0)} not shown, "
        f"{sum(count > 1 for count in copies)} doubled, {resumed - killed:.1f} s without a master"
    )
    assert all(abs(accepted[local_id] - killed) < 1 for local_id in lost), "only from the last moment before"
    for local_id in accepted.keys() - set(lost):
        assert stage.message(local_id).state in ("delivered", "held")
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_asyncio_finds_the_new_master_too(replicated: Replicated, stage_on: StageOn, wait_until: WaitUntil) -> None:
    stage = stage_on(replicated)

    async def use() -> None:
        async with AsyncMessages(stage.settings) as messages:
            await messages.create("before", **ORDER)
            master = replicated.master()
            master.kill()
            await asyncio.to_thread(wait_until, lambda: replicated.master() is not master, 30, "another is it")
            ends = time.monotonic() + 20
            while True:
                try:
                    await messages.upsert("after", **ORDER | {"visitor_id": "other"}, job_id="1")
                    break
                except PushledgerError:
                    assert time.monotonic() < ends
            assert (await messages.counts())["queued"] == 2

    asyncio.run(use())


def take_replicas_away(replicated: Replicated) -> None:
    """Kill them: what waits in the buffers of their connections is lost with them."""
    for replica in replicated.replicas():
        replica.kill()


def lose_the_master(replicated: Replicated, wait_until: WaitUntil) -> None:
    """Kill it, and let its replicas come back, which know nothing of the last jobs."""
    master = replicated.master()
    master.kill()
    for replica in replicated.servers:
        if replica is not master:
            replica.start()
    wait_until(lambda: replicated.master() is not master, 60, "another is the master")


def test_a_job_that_no_replica_had_is_gone_with_its_master(
    replicated: Replicated, stage_on: StageOn, wait_until: WaitUntil
) -> None:
    """Replication is asynchronous: by default a failover may cost what was accepted last."""
    stage = stage_on(replicated)
    take_replicas_away(replicated)
    stage.create(1)
    lose_the_master(replicated, wait_until)
    assert eventually(stage.messages, "order:1") is None


def test_with_durability_replica_no_such_job_is_accepted(
    replicated: Replicated, stage_on: StageOn, wait_until: WaitUntil
) -> None:
    stage = stage_on(replicated)
    with Messages(stage.settings_with(durability="replica")) as messages:
        messages.create("order:1", **ORDER)
        take_replicas_away(replicated)
        with pytest.raises(LedgerUnavailable, match="not on a replica in time; repeat it with the same job_id"):
            messages.create("order:2", **ORDER | {"visitor_id": "other"}, job_id="the-job")
        lose_the_master(replicated, wait_until)
        assert eventually(messages, "order:1") is not None
        assert messages.get("order:2") is None
        repeated = answered(lambda: messages.create("order:2", **ORDER | {"visitor_id": "other"}, job_id="the-job"))
        assert (repeated.outcome, repeated.revision) == ("queued", 1)


def test_min_replicas_to_write_refuses_what_would_be_lost(
    replicated: Replicated, stage_on: StageOn, wait_until: WaitUntil
) -> None:
    """A second after the replicas went silent at the latest."""
    stage = stage_on(replicated)
    with replicated.client() as client:
        client.config_set("min-replicas-to-write", 1, "min-replicas-max-lag", 1)
    stage.create(1)
    for replica in replicated.replicas():
        replica.freeze()

    def refused() -> bool:
        try:
            stage.messages.upsert("order:2", **ORDER)
        except LedgerUnavailable as error:
            return "NOREPLICAS" in str(error)
        return False

    wait_until(refused, 10, "jobs are refused")


def eventually(messages: Messages, local_id: str) -> Message | None:
    """What the new master knows of a message."""
    return answered(lambda: messages.get(local_id))


def answered(ask: Callable[[], T]) -> T:
    """The answer, once the new master lets anybody in and has a replica again."""
    ends = time.monotonic() + 30
    while True:
        try:
            return ask()
        except LedgerUnavailable:
            assert time.monotonic() < ends
            time.sleep(0.05)

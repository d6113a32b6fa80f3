"""Wake-ups and the intake over quorum queues, with real workers; the broker is killed, frozen and misconfigured."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from acceptance.conftest import Stage
from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from pushledger import Messages
from pushledger.broker import DELIVER_QUEUE, INTAKE_QUEUE
from pushledger.ledger.keys import Keys
from pushledger.quorum_queues import DEAD_QUEUE, DELIVERY_LIMIT

if TYPE_CHECKING:
    from conftest import WaitUntil
    from services.rabbitmq import RabbitMQ

PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"
# A worker that never looks by itself: only a wake-up makes it deliver.
ONLY_WAKE_UPS = {"TICK": "1h"}
NO_LEDGER = {"REDIS_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture
def broker(stage: Stage, rabbitmq: RabbitMQ) -> Iterator[RabbitMQ]:
    """The stage's messages and processes use RabbitMQ."""
    settings = stage.settings_with(broker_url=rabbitmq.url())
    with Messages(settings) as stage.messages:
        yield rabbitmq


def start(stage: Stage, broker: RabbitMQ, **settings: str) -> Any:
    return stage.worker(**{"BROKER_URL": broker.url(), **settings})


@pytest.fixture
def shop(broker: RabbitMQ) -> Iterator[Celery]:
    """A Celery app that knows nothing of pushledger but what the page of brokers says."""
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"broker_url": broker.url()}
    exec(compile(block, PAGE.name, "exec"), names)
    with names["app"] as app:
        yield app


def enqueue(shop: Celery, number: int, verb: str = "create", **values: Any) -> None:
    """A job as another Celery app sends it."""
    text = {"local_id": f"order:{number}", "text": "Order received", **values}
    target = {"visitor_id": f"visitor-{number}", "agent_id": "agent"} if verb != "update" else {}
    shop.send_task(f"pushledger.{verb}", kwargs={**text, **target}, queue=INTAKE_QUEUE)


def test_wake_ups_alone_deliver(stage: Stage, broker: RabbitMQ, wait_until: WaitUntil) -> None:
    start(stage, broker, **ONLY_WAKE_UPS)
    order = stage.create(1)
    wait_until(lambda: stage.rests(order), 5, "a wake-up delivers it")
    stage.messages.update(order, text="Shipped")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 5, "the next one too")
    assert [broker.waiting(queue) for queue in (DELIVER_QUEUE, INTAKE_QUEUE, DEAD_QUEUE)] == [0, 0, 0]


def test_a_wake_up_reaches_one_queue_of_quorum_type(stage: Stage, broker: RabbitMQ) -> None:
    """Celery's defaults bind every queue to the exchange and key of the first: each message would come twice."""
    worker = start(stage, broker)
    worker.terminate()
    assert worker.ends(20) == 0, worker.text()
    stage.create(1)
    assert (broker.waiting(DELIVER_QUEUE), broker.waiting(INTAKE_QUEUE)) == (1, 0)
    listed = dict(line.split() for line in broker.ctl("list_queues", "name", "type").splitlines())
    assert {listed[queue] for queue in (DELIVER_QUEUE, INTAKE_QUEUE, DEAD_QUEUE)} == {"quorum"}


def test_another_apps_jobs_are_taken_in(stage: Stage, broker: RabbitMQ, shop: Celery, wait_until: WaitUntil) -> None:
    start(stage, broker)
    enqueue(shop, 1)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 5, "the create is shown")
    enqueue(shop, 1, "update", text="Shipped")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 5, "the update is shown")


def test_a_worker_goes_on_after_its_broker_was_killed(
    stage: Stage, broker: RabbitMQ, shop: Celery, wait_until: WaitUntil
) -> None:
    """What is recorded meanwhile is delivered by the next wake-up; producer and worker find the way by themselves."""
    worker = start(stage, broker, **ONLY_WAKE_UPS)
    first = stage.create(1)
    wait_until(lambda: stage.rests(first), 5, "it delivers")
    broker.kill()
    began = time.monotonic()
    second = stage.create(2)
    assert time.monotonic() - began < 2, "a broker that is away does not hold the shop up"
    broker.start()
    wait_until(lambda: worker.text().count("Connected to") == 2, 60, "the worker is back")
    numbers = iter(range(3, 10_000))
    wait_until(lambda: stage.create(next(numbers)) and stage.rests(second), 20, "a wake-up comes through")
    enqueue(shop, 0)
    wait_until(lambda: stage.sandbox.seen_by("visitor-0") == ["Order received"], 5, "the intake goes on")
    assert worker.process.poll() is None


def test_no_job_that_the_broker_confirmed_is_lost_when_it_is_killed(
    stage: Stage, broker: RabbitMQ, shop: Celery, wait_until: WaitUntil
) -> None:
    """Jobs in the queue, jobs in the hands of a worker, and jobs that were being sent at that moment."""
    worker = start(stage, broker, **NO_LEDGER)
    confirmed: list[int] = []

    def send() -> None:
        with contextlib.suppress(*shop.connection_for_write().connection_errors, OperationalError):
            for number in range(5000):
                enqueue(shop, number)
                confirmed.append(number)

    sending = threading.Thread(target=send)
    sending.start()
    wait_until(lambda: len(confirmed) > 50 and "intake waits" in worker.text(), 20, "some are sent, some taken")
    broker.kill()
    sending.join(20)
    assert len(confirmed) < 5000, "it was killed in the middle"
    broker.start()
    worker.kill()
    start(stage, broker)
    orders = [f"order:{number}" for number in confirmed]
    wait_until(lambda: stage.rests(*orders), 60, f"all {len(orders)} are delivered")


def test_a_job_in_the_hands_of_a_killed_worker_goes_to_the_next_at_once(
    stage: Stage, broker: RabbitMQ, shop: Celery, wait_until: WaitUntil
) -> None:
    first = start(stage, broker, **NO_LEDGER)
    enqueue(shop, 1)
    wait_until(lambda: "intake waits" in first.text(), 10, "the task is begun")
    first.kill()
    start(stage, broker)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "the next worker records it")


def test_a_job_that_was_handed_out_too_often_is_put_aside_and_kept(
    stage: Stage, broker: RabbitMQ, shop: Celery, wait_until: WaitUntil
) -> None:
    """As one does that ends its worker each time."""
    worker = start(stage, broker)
    worker.terminate()
    assert worker.ends(20) == 0, worker.text()
    enqueue(shop, 1)
    with Connection(broker.url()) as connection:
        queue = Queue(INTAKE_QUEUE, no_declare=True).bind(connection.default_channel)
        handed_out = 0

        def refused() -> bool:
            nonlocal handed_out
            if message := queue.get():
                message.requeue()
                handed_out += 1
            return broker.waiting(DEAD_QUEUE) == 1

        wait_until(refused, 20, "it is put aside")
    assert (handed_out, broker.waiting(INTAKE_QUEUE)) == (DELIVERY_LIMIT + 1, 0)


@pytest.mark.parametrize("kept", [False, True], ids=["first connection", "kept connection"])
def test_a_frozen_broker_does_not_hold_the_shop_up(stage: Stage, broker: RabbitMQ, kept: bool) -> None:
    worker = start(stage, broker)
    worker.terminate()
    assert worker.ends(20) == 0, worker.text()
    if kept:
        stage.create(1)
    with stage.valkey.client() as client:
        client.delete(Keys(stage.account).wake)
    broker.freeze()
    try:
        began = time.monotonic()
        stage.create(2)
        assert time.monotonic() - began < 2
    finally:
        broker.thaw()


# ---------------------------------------------------------------- what will not get better by waiting


def test_a_wrong_password_ends_the_worker_with_a_sentence(stage: Stage, broker: RabbitMQ) -> None:
    url = broker.url("a-wrong-password")
    worker = stage.worker(ready=False, BROKER_URL=url)
    assert worker.ends(20) == 1
    assert "PUSHLEDGER_BROKER_URL: the broker refuses this user or password" in worker.text()
    checked = stage.run("check", BROKER_URL=url)
    assert "the broker refuses this user or password" in checked.stdout
    assert "a-wrong-password" not in worker.text() + checked.stdout


def test_a_queue_with_other_arguments_ends_the_worker_with_a_sentence(stage: Stage, broker: RabbitMQ) -> None:
    """Celery makes classic queues where it is not told otherwise."""
    with Connection(broker.url()) as connection:
        connection.default_channel.queue_declare(INTAKE_QUEUE, durable=True, auto_delete=False)
    worker = stage.worker(ready=False, BROKER_URL=broker.url())
    assert worker.ends(20) == 1
    assert "PUSHLEDGER_BROKER_URL: a queue is there with other arguments" in worker.text()
    assert f"'{INTAKE_QUEUE}'" in worker.text()


def test_a_user_without_the_rights_ends_the_worker_with_a_sentence(stage: Stage, broker: RabbitMQ) -> None:
    broker.ctl("add_user", "reader", "pw")
    broker.ctl("set_permissions", "reader", "", "", ".*")
    try:
        worker = stage.worker(ready=False, BROKER_URL=broker.url().replace("guest:guest", "reader:pw"))
        assert worker.ends(20) == 1
        assert "PUSHLEDGER_BROKER_URL: its user may not do what a worker needs" in worker.text()
    finally:
        broker.ctl("delete_user", "reader")

"""Jobs that a Celery app enqueues by name, knowing nothing of pushledger but two names."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from pushledger.broker import INTAKE_QUEUE

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

SECRET = "a-text-that-nobody-else-shall-read"
VISITOR = "a-visitor-nobody-else-shall-know"
SOLO_AT_DEBUG = ["-m", "pushledger", "worker", "--pool=solo", "--loglevel=DEBUG"]


class Shop:
    """A plain Celery app."""

    def __init__(self, app: Celery) -> None:
        self.app = app

    def send(self, verb: str, task_id: str | None = None, **values: Any) -> None:
        """Enqueue a job by its name."""
        self.send_values(verb, values, task_id)

    def send_values(self, verb: str, values: dict[str, Any], task_id: str | None = None) -> None:
        """The same, whatever the values are called."""
        self.app.send_task(f"pushledger.{verb}", kwargs=values, task_id=task_id, queue="pushledger.intake")

    def create(self, verb: str = "create", text: str = "Order received", **values: Any) -> None:
        """Enqueue a create or upsert of order:1."""
        self.send(verb, **{"local_id": "order:1", "visitor_id": "visitor-1", "agent_id": "a", "text": text, **values})


@pytest.fixture
def shop(stage: Stage) -> Iterator[Shop]:
    with Celery("shop", broker=stage.valkey.url(1), set_as_current=False) as app:
        yield Shop(app)


def refused(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.json("list", "--state", "refused")
    return found


def kept_as_refused(stage: Stage) -> list[dict[str, object]]:
    return stage.messages.refused()


def unacknowledged(stage: Stage) -> int:
    with stage.valkey.client(1) as broker:
        return int(broker.hlen("unacked"))


# ---------------------------------------------------------------- what is accepted


def test_each_verb_enqueued_by_name_is_delivered(stage: Stage, shop: Shop, wait_until: WaitUntil) -> None:
    stage.worker()
    shop.create(text="Order received")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 5, "the create is shown")
    shop.send("update", local_id="order:1", text="Packed")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Packed"], 5, "the update is shown")
    shop.create("upsert", text="Shipped", priority="high", version=3)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 5, "the upsert is shown")
    shop.send("delete", local_id="order:1")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == [], 5, "the delete is done")
    wait_until(lambda: unacknowledged(stage) == 0, 5, "everything is acknowledged")
    assert kept_as_refused(stage) == []


def test_a_route_spares_naming_the_queue(stage: Stage, shop: Shop, wait_until: WaitUntil) -> None:
    shop.app.conf.task_routes = {"pushledger.*": {"queue": "pushledger.intake"}}
    stage.worker()
    values = {"local_id": "order:1", "visitor_id": "visitor-1", "agent_id": "a", "text": "Order received"}
    shop.app.send_task("pushledger.create", kwargs=values)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 5, "the create is shown")


def test_without_queue_or_route_a_job_goes_to_the_shops_own_default_queue(stage: Stage, shop: Shop) -> None:
    """No worker of ours can see it there: the sender has to name the queue."""
    shop.app.send_task("pushledger.create", kwargs={"local_id": "order:1"})
    with stage.valkey.client(1) as broker:
        assert (broker.llen("celery"), broker.llen(INTAKE_QUEUE)) == (1, 0)


def test_a_task_that_arrives_twice_is_one_job(stage: Stage, shop: Shop, wait_until: WaitUntil) -> None:
    """A job's id is its task's id."""
    stage.worker()
    for _ in range(2):
        shop.create(task_id="one-and-the-same")
    shop.send("update", "of-two-updates", local_id="order:1", text="Packed")
    shop.send("update", "of-two-updates", local_id="order:1", text="Packed")
    shop.send("update", "the-last", local_id="order:1", text="Shipped")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 5, "the last is shown")
    wait_until(lambda: unacknowledged(stage) == 0, 5, "everything is acknowledged")
    assert stage.message("order:1").revision == 3
    assert kept_as_refused(stage) == []


# ---------------------------------------------------------------- what is refused


_NAMED = {"local_id": "order:1", "visitor_id": VISITOR, "agent_id": "a"}
_BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("create", {**_NAMED, "text": ""}, "InvalidJob", "text"),
    ("create", {**_NAMED, "text": SECRET, "local_id": None}, "InvalidJob", "local_id"),
    ("create", {"visitor_id": VISITOR, "agent_id": "a", "text": SECRET}, "InvalidJob", "local_id"),
    ("create", {"local_id": "order:1", "visitor_id": VISITOR, "text": SECRET}, "InvalidJob", "agent_id"),
    ("create", {**_NAMED, "text": SECRET, "local_id": 7}, "InvalidJob", "local_id"),
    ("update", {"local_id": "order:1", "text": SECRET, "colour": "red"}, "InvalidJob", "colour"),
    ("update", {"local_id": "order:1", "text": SECRET, "version": "soon"}, "InvalidJob", "version"),
    ("update", {"local_id": "order:1", "text": SECRET}, "UnknownLocalId", "local_id"),
    ("delete", {"local_id": "order:1"}, "UnknownLocalId", "local_id"),
    ("create", {**_NAMED, "text": SECRET, "verb": "x", "task_id": "x"}, "InvalidJob", "verb"),
    ("create", {**_NAMED, "text": SECRET, "self": "x"}, "InvalidJob", "kwargs"),
]


def test_bad_input_is_kept_as_refused_without_its_text(stage: Stage, shop: Shop, wait_until: WaitUntil) -> None:
    """Each with the field that is wrong; of the values only their names are kept."""
    worker = stage.process(SOLO_AT_DEBUG)
    for number, (verb, values, _, _) in enumerate(_BAD):
        shop.send_values(verb, values, f"task-{number}")
    shop.send_values("crate", {"text": SECRET}, "task-misspelt")
    for count in (1, 2):
        arguments = ["order:1", SECRET][:count]
        shop.app.send_task("pushledger.update", args=arguments, task_id=f"task-args-{count}", queue=INTAKE_QUEUE)
    wait_until(lambda: len(kept_as_refused(stage)) == len(_BAD) + 3, 10, "all are refused")
    wait_until(lambda: unacknowledged(stage) == 0, 5, "all are acknowledged")
    documents = {document["task_id"]: document for document in kept_as_refused(stage)}
    for number, (verb, values, error, field) in enumerate(_BAD):
        document = documents[f"task-{number}"]
        assert (document["verb"], document["error"], document["field"]) == (verb, error, field)
        assert document["fields"] == sorted(values)
    misspelt = documents["task-misspelt"]
    assert (misspelt["verb"], misspelt["error"], misspelt["field"]) == ("crate", "InvalidJob", "verb")
    assert [documents[f"task-args-{count}"]["field"] for count in (1, 2)] == ["args", "args"]
    assert stage.messages.get("order:1") is None
    told = json.dumps(documents) + worker.text()
    assert SECRET not in told
    assert VISITOR not in told


def test_refused_jobs_are_listed(stage: Stage, shop: Shop, wait_until: WaitUntil) -> None:
    stage.worker()
    shop.send("update", "the-task", local_id="order:9", text=SECRET)
    wait_until(lambda: kept_as_refused(stage), 5, "it is refused")
    (listed,) = refused(stage)
    assert (listed["local_id"], listed["verb"], listed["error"]) == ("order:9", "update", "UnknownLocalId")
    assert listed["rule"]


# ---------------------------------------------------------------- order of arrival


def test_an_update_with_a_version_waits_for_its_create(stage: Stage, shop: Shop, wait_until: WaitUntil) -> None:
    stage.worker()
    shop.send("update", local_id="order:1", text="Packed", version=2)
    with stage.valkey.client() as client:
        parked = f"pushledger:{{{stage.account}}}:parked"
        wait_until(lambda: client.hlen(parked) == 1, 5, "the update is parked")
        shop.create(version=1)
        wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Packed"], 8, "the update is applied")
        wait_until(lambda: client.hlen(parked) == 0, 5, "nothing is parked any more")
    assert stage.message("order:1").version == 2
    assert kept_as_refused(stage) == []


def test_updates_that_came_before_their_create_leave_the_newest_text(
    stage: Stage, shop: Shop, wait_until: WaitUntil
) -> None:
    stage.worker()
    for version in (4, 2, 3):
        shop.send("update", local_id="order:1", text=f"Step {version}", version=version)
    shop.create(version=1)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Step 4"], 8, "the newest is shown")
    with stage.valkey.client() as client:
        wait_until(lambda: not client.exists(f"pushledger:{{{stage.account}}}:parked"), 5, "nothing is parked")
    assert stage.sandbox.seen_by("visitor-1") == ["Step 4"]
    assert kept_as_refused(stage) == []


def test_those_whose_create_does_not_come_are_refused_after_the_wait(
    stage: Stage, shop: Shop, wait_until: WaitUntil
) -> None:
    stage.worker(WAIT_FOR_CREATE="1s")
    sent = time.monotonic()
    shop.send("update", local_id="order:1", version=2, text=SECRET)
    shop.send("delete", local_id="order:2", version=2)
    wait_until(lambda: len(kept_as_refused(stage)) == 2, 8, "both are refused")
    assert time.monotonic() - sent > 1
    assert {document["verb"] for document in kept_as_refused(stage)} == {"update", "delete"}
    assert {document["error"] for document in kept_as_refused(stage)} == {"UnknownLocalId"}
    with stage.valkey.client() as client:
        assert not client.exists(f"pushledger:{{{stage.account}}}:parked"), "its text is gone with it"


# ---------------------------------------------------------------- death and silence


def test_a_task_not_acknowledged_by_a_killed_worker_is_recorded_by_the_next(
    stage: Stage, shop: Shop, wait_until: WaitUntil
) -> None:
    """The intake waits for a ledger that is away; a worker killed meanwhile leaves the task to the next one."""
    nowhere = "redis://127.0.0.1:1/0"
    broker = stage.valkey.url(1)
    first = stage.worker(REDIS_URL=nowhere, BROKER_URL=broker)
    shop.create()
    wait_until(lambda: "intake waits" in first.text(), 10, "the task is begun")
    assert unacknowledged(stage) == 1
    first.kill()
    with stage.valkey.client(1) as client:
        assert client.llen(INTAKE_QUEUE) == 0
        # As if the visibility time-out were over, which no test can wait for.
        client.zadd("unacked_index", dict.fromkeys(client.zrange("unacked_index", 0, -1), 0))
    stage.worker()
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 20, "the next worker records it")
    wait_until(lambda: unacknowledged(stage) == 0, 5, "it is acknowledged")


def test_a_killed_child_of_the_pool_hands_its_task_back_at_once(
    stage: Stage, shop: Shop, wait_until: WaitUntil
) -> None:
    worker = stage.worker(REDIS_URL="redis://127.0.0.1:1/0", BROKER_URL=stage.valkey.url(1))
    shop.create()
    wait_until(lambda: "intake waits" in worker.text(), 10, "the task is begun")
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: worker.text().count("intake waits") > 0 and child not in worker.children(), 10, "a new child")
    worker.terminate()
    assert worker.ends(20) == 0, worker.text()
    stage.worker()
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "the next worker records it")


def test_a_worker_stopped_while_the_ledger_is_away_gives_its_task_back(
    stage: Stage, shop: Shop, wait_until: WaitUntil
) -> None:
    first = stage.worker(REDIS_URL="redis://127.0.0.1:1/0", BROKER_URL=stage.valkey.url(1))
    shop.create()
    wait_until(lambda: "intake waits" in first.text(), 10, "the task is begun")
    first.terminate()
    assert first.ends(20) == 0, first.text()
    with stage.valkey.client(1) as client:
        assert client.llen(INTAKE_QUEUE) == 1
    stage.worker()
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "the next worker records it")


@pytest.mark.parametrize(("pool", "form"), [("prefork", "text"), ("threads", "text"), ("prefork", "json")])
def test_no_text_and_no_visitor_reaches_a_workers_log(
    stage: Stage, shop: Shop, wait_until: WaitUntil, pool: str, form: str
) -> None:
    """At the most talkative level, through the intake and out to the API, accepted and refused."""
    worker = stage.process(["-m", "pushledger", "worker", f"--pool={pool}", "--loglevel=DEBUG"], LOG_FORMAT=form)
    shop.create(text=SECRET, visitor_id=VISITOR)
    shop.send("update", local_id="order:1", text=f"{SECRET} 2")
    shop.send("update", local_id="order:7", text=SECRET, version=3)
    shop.send("update", local_id="order:8", text=SECRET)
    shop.send("crate", local_id="order:8", text=SECRET)
    wait_until(lambda: len(kept_as_refused(stage)) == 2, 5, "two are refused")
    wait_until(lambda: stage.sandbox.seen_by(VISITOR) == [f"{SECRET} 2"], 5, "the message is shown")
    assert "pushledger.crate" in worker.text()
    with stage.valkey.client(1) as broker:  # what no Celery app sends
        for tag, headers in enumerate(({}, {"task": "pushledger.create", "id": "1"})):
            delivery = {"delivery_tag": f"{tag}", "delivery_info": {"exchange": "", "routing_key": INTAKE_QUEUE}}
            message = {
                "body": base64.b64encode(b'{"text": "\xff' + SECRET.encode()).decode(),
                "headers": {**headers, "kwargsrepr": SECRET},
                "properties": {"body_encoding": "base64", **delivery},
                "content-encoding": "utf-8",
                "content-type": "application/json",
            }
            broker.lpush(INTAKE_QUEUE, json.dumps(message))
        wait_until(lambda: broker.llen(INTAKE_QUEUE) == 0, 5, "all are taken")
    wait_until(lambda: unacknowledged(stage) == 0, 5, "everything is acknowledged")
    worker.terminate()
    assert worker.ends(15) == 0
    assert "DEBUG" in worker.text()
    leaks = [line for line in worker.text().splitlines() if SECRET in line or VISITOR in line]
    assert leaks == []
    if form == "json":
        assert_every_line_is_an_object(worker.text())


def assert_every_line_is_an_object(text: str) -> None:
    """Celery's own lines too, from the first to those of its shutdown."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert {"celery.apps.worker", "celery.worker.strategy", "pushledger_worker.delivery"} <= {
        line["logger"] for line in lines
    }
    calls = [line for line in lines if line.get("action") == "call"]
    assert calls
    assert {(line["local_id"], line["outcome"], line["status"]) for line in calls} == {("order:1", "confirmed", 200)}
    assert any("shutdown" in line["message"] for line in lines)


def test_a_blanked_representation_is_what_the_broker_carries_in_the_headers(stage: Stage, shop: Shop) -> None:
    """Celery writes the arguments a second time, as a representation for logs; senders blank it."""
    values = {"local_id": "order:1", "visitor_id": VISITOR, "agent_id": "a", "text": SECRET}
    shop.app.send_task("pushledger.create", kwargs=values, queue=INTAKE_QUEUE, argsrepr="()", kwargsrepr="{}")
    with stage.valkey.client(1) as broker:
        (raw,) = broker.lrange(INTAKE_QUEUE, 0, -1)
    headers = json.loads(raw)["headers"]
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("()", "{}")
    assert SECRET not in json.dumps(headers)

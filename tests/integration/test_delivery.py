"""Shifts of delivery over a real ledger and real HTTP: what visitors see in the end, and at what cost in calls."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from brevo_sandbox import End, Fault, Match, Rate, Sandbox, Scripted
from brevo_sandbox import Kind as Faulty
from brevo_sandbox.server import running
from pushledger import Message
from pushledger.errors import Gone, LedgerUnavailable
from pushledger.jobs import Create, Delete, Job, Update, Upsert
from pushledger.ledger import AsyncLedger, Budget, Ledger, LedgerPolicy, RateWindow, Recorded
from pushledger.ledger.connection import AsyncConnection
from pushledger.ledger.keys import Keys
from pushledger_worker.answer import Answer, Answered, Dropped
from pushledger_worker.api import Api
from pushledger_worker.delivery import Delivery, DeliveryOptions, Performer
from pushledger_worker.plan import Call
from pushledger_worker.verdict import Limits
from pydantic import SecretStr

if TYPE_CHECKING:
    from conftest import WaitUntil

SETTLE_DELAY = timedelta(milliseconds=100)
SECONDS = timedelta(seconds=2)
OPTIONS = DeliveryOptions(
    budget=Budget(),
    inflight=4,
    lease=timedelta(seconds=6),
    call_timeout=timedelta(seconds=3),
    shift=timedelta(seconds=10),
    shutdown_grace=timedelta(seconds=5),
    limits=Limits(
        backoff_first=timedelta(milliseconds=20),
        backoff_limit=timedelta(milliseconds=200),
        give_up_after=timedelta(days=1),
        settle_delay=SETTLE_DELAY,
    ),
)
IMPATIENT = replace(OPTIONS, call_timeout=timedelta(milliseconds=600))
POSTS = Match(methods=frozenset({"POST"}))
PUTS = Match(methods=frozenset({"PUT"}))

Wrap = Callable[[Api], Performer]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Stage:
    """A ledger, an API and deliveries between them."""

    def __init__(self, redis_url: str, account: str, sandbox: Sandbox, api_url: str) -> None:
        self.redis_url, self.account, self.sandbox, self.api_url = redis_url, account, sandbox, api_url
        self.policy = LedgerPolicy(settle_delay=SETTLE_DELAY)
        self.key = "right"
        self.ledger = Ledger.from_url(redis_url, account, self.policy, SECONDS)

    def record(self, *jobs: Job) -> list[str]:
        """Record jobs; their outcomes."""
        results = self.ledger.record(jobs)
        for result in results:
            if not isinstance(result, Recorded):
                raise result
        return [result.receipt.outcome for result in results if isinstance(result, Recorded)]

    def message(self, local_id: str = "m") -> Message:
        message = self.ledger.get([local_id])[0]
        assert message is not None
        return message

    def stands(self, state: str, local_id: str = "m") -> Callable[[], bool]:
        return lambda: self.message(local_id).state == state

    def shown(self, visitor_id: str = "v") -> list[str]:
        return [message.text for message in self.sandbox.store.chat(visitor_id)]

    def calls(self) -> list[tuple[str, str | None]]:
        return [(entry.request.method, entry.request.text) for entry in self.sandbox.journal.since(0)]

    def in_the_air(self, calls: int = 1) -> Callable[[], bool]:
        return lambda: self.sandbox.journal.stats()["concurrent"] == calls

    def order(self, fault: Fault, match: Match = POSTS, times: int | None = 1) -> None:
        self.sandbox.faults.add(Scripted(fault, times, match))

    def pause(self) -> dict[str, str]:
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            found: dict[str, str] = client.hgetall(Keys(self.account).pause)
            return found

    def end_the_pause(self) -> None:
        """Let the time of the account's pause be over."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.hset(Keys(self.account).pause, "until", 1)

    @asynccontextmanager
    async def delivery(
        self,
        options: DeliveryOptions = OPTIONS,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        wrap: Wrap = lambda api: api,
        redis_url: str | None = None,
        ledger_class: type[AsyncLedger] = AsyncLedger,
    ) -> AsyncIterator[Delivery]:
        connection = AsyncConnection.from_url(redis_url or self.redis_url, SECONDS)
        ledger = ledger_class(connection, self.account, self.policy)
        api = Api(self.api_url, lambda: SecretStr(self.key), options.call_timeout, clock)
        try:
            async with api:
                yield Delivery(ledger, wrap(api), options, stopping, clock)
        finally:
            await ledger.close()

    def deliver(self, *options: DeliveryOptions, **others: Any) -> None:
        """Work shifts side by side, until nothing is due soon."""

        async def shifts() -> None:
            async with AsyncExitStack() as stack:
                made = [await stack.enter_async_context(self.delivery(one, **others)) for one in options or [OPTIONS]]
                await asyncio.gather(*(delivery.run() for delivery in made))

        asyncio.run(shifts())

    @contextmanager
    def delivering(self, options: DeliveryOptions = OPTIONS, **others: Any) -> Iterator[threading.Event]:
        """Work shift after shift beside the test, as a worker does; set the event to stop it."""
        stop = threading.Event()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                while not stop.wait(0.05):
                    with suppress(LedgerUnavailable):
                        self.deliver(options, stopping=stop.is_set, **others)
            except BaseException as error:
                errors.append(error)
                raise

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(20)
        assert not thread.is_alive()
        assert not errors


@pytest.fixture
def stage(valkey_url: str, account: str) -> Iterator[Stage]:
    sandbox = Sandbox(keys={"right"})
    with running(sandbox) as api_url:
        made = Stage(valkey_url, account, sandbox, api_url)
        yield made
        made.ledger.close()


def create(local_id: str = "m", text: str = "A", visitor_id: str = "v", **options: Any) -> Create:
    return Create(local_id, visitor_id, text, agent_id="a", **options)


# ---------------------------------------------------------------- from the shop to the visitor


def test_each_job_is_one_call(stage: Stage) -> None:
    """Create, edit, remove, and a new life."""
    stage.record(create(text="A"))
    stage.deliver()
    first_id = stage.message().message_id
    assert (stage.message().state, stage.shown()) == ("delivered", ["A"])
    stage.record(Update("m", "B"))
    stage.deliver()
    assert (stage.message().state, stage.message().message_id, stage.shown()) == ("delivered", first_id, ["B"])
    stage.record(Delete("m"))
    stage.deliver()
    assert (stage.message().state, stage.message().message_id, stage.shown()) == ("deleted", None, [])
    stage.record(Upsert("m", "v", "C", group_id="g"))
    stage.deliver()
    assert (stage.message().state, stage.shown()) == ("delivered", ["C"])
    assert stage.message().message_id not in (None, first_id)
    assert stage.calls() == [("POST", "A"), ("PUT", "B"), ("DELETE", None), ("POST", "C")]


def test_many_messages_are_delivered_side_by_side(stage: Stage) -> None:
    stage.order(Fault(Faulty.LATENCY, seconds=0.05), times=None)
    stage.record(*(create(f"m{n}", text=f"{n}", visitor_id=f"v{n}") for n in range(30)))
    stage.deliver(replace(OPTIONS, inflight=10))
    assert all(stage.shown(f"v{n}") == [f"{n}"] for n in range(30))
    assert 1 < int(str(stage.sandbox.journal.stats()["max_concurrent"])) <= 10


def test_changes_fold_into_one_call(stage: Stage) -> None:
    """Promise 3: what is superseded before it was sent costs nothing."""
    outcomes = stage.record(create(text="0"), *(Update("m", str(n)) for n in range(1, 10)))
    assert outcomes == ["queued", *["folded"] * 9]
    stage.deliver()
    assert stage.calls() == [("POST", "9")]
    assert stage.shown() == ["9"]


def test_a_delete_before_the_send_costs_no_call(stage: Stage) -> None:
    assert stage.record(create(), Delete("m")) == ["queued", "cancelled"]
    stage.deliver()
    assert stage.calls() == []
    assert stage.message().state == "deleted"


def test_an_update_while_the_create_is_in_the_air_follows_it(stage: Stage, wait_until: WaitUntil) -> None:
    """Promises 2 and 4: the newest wins, one call at a time."""
    stage.order(Fault(Faulty.LATENCY, seconds=0.2))
    stage.record(create(text="A"))
    with stage.delivering():
        wait_until(stage.in_the_air(), 5, "the create is in the air")
        stage.record(Update("m", "B"))
        wait_until(stage.stands("delivered"), 5, "the message is delivered")
    assert stage.calls() == [("POST", "A"), ("PUT", "B")]
    assert stage.shown() == ["B"]
    assert stage.sandbox.journal.stats()["max_concurrent"] == 1


def test_a_delete_while_the_create_is_in_the_air_removes_it(stage: Stage, wait_until: WaitUntil) -> None:
    stage.order(Fault(Faulty.LATENCY, seconds=0.2))
    stage.record(create())
    with stage.delivering():
        wait_until(stage.in_the_air(), 5, "the create is in the air")
        stage.record(Delete("m"))
        wait_until(stage.stands("deleted"), 5, "the message is deleted")
    assert stage.calls() == [("POST", "A"), ("DELETE", None)]
    assert stage.shown() == []


def test_back_to_the_first_text_is_sent_though_it_was_shown_before(stage: Stage, wait_until: WaitUntil) -> None:
    """R3: while B is in the air nobody knows what the visitor sees."""
    stage.record(create(text="A"))
    stage.deliver()
    stage.order(Fault(Faulty.LATENCY, seconds=0.2), PUTS)
    stage.record(Update("m", "B"))
    with stage.delivering():
        wait_until(stage.in_the_air(), 5, "B is in the air")
        assert stage.record(Update("m", "A")) == ["queued"]
        wait_until(stage.stands("delivered"), 5, "the message is delivered")
    assert stage.calls() == [("POST", "A"), ("PUT", "B"), ("PUT", "A")]
    assert stage.shown() == ["A"]


def test_a_text_that_is_shown_already_costs_no_call(stage: Stage) -> None:
    stage.record(create(text="A"))
    stage.deliver()
    assert stage.record(Update("m", "A")) == ["unchanged"]
    stage.deliver()
    assert len(stage.calls()) == 1


# ---------------------------------------------------------------- outcomes that nobody knows

UNKNOWN = [
    pytest.param(Fault(Faulty.ERROR_AFTER), id="5xx"),
    pytest.param(Fault(Faulty.ERROR_AFTER, status=524, body="<html>"), id="524"),
    pytest.param(Fault(Faulty.RESET_AFTER), id="RST"),
    pytest.param(Fault(Faulty.RESET_AFTER, end=End.CLOSE), id="FIN"),
    pytest.param(Fault(Faulty.TIMEOUT_AFTER), id="silence"),
]


@pytest.mark.parametrize("fault", UNKNOWN)
def test_an_unknown_create_is_sent_again_once(stage: Stage, fault: Fault) -> None:
    """Promise 5: not before SETTLE_DELAY, and marked as perhaps doubled, which here it is."""
    stage.order(fault)
    stage.record(create())
    stage.deliver(IMPATIENT)
    assert stage.calls() == [("POST", "A"), ("POST", "A")]
    first, second = stage.sandbox.journal.since(0)
    assert second.received_at - (first.finished_at or 0) >= SETTLE_DELAY.total_seconds() - 0.01
    message = stage.message()
    assert (message.state, message.resends, message.maybe_doubled) == ("delivered", 1, True)
    assert stage.shown() == ["A", "A"]
    assert any(event.detail.startswith("again") for event in stage.ledger.timeline("m"))


@pytest.mark.parametrize("fault", UNKNOWN)
def test_with_no_re_sends_an_unknown_create_is_held(stage: Stage, fault: Fault) -> None:
    """At most once means at most once."""
    stage.order(fault)
    stage.record(create(max_resends=0))
    stage.deliver(IMPATIENT)
    stage.deliver(IMPATIENT)
    message = stage.message()
    assert (message.state, message.reason, message.resends) == ("held", "outcome_unknown", 0)
    assert stage.calls() == [("POST", "A")]


def test_re_sends_are_used_up(stage: Stage) -> None:
    """The second unknown outcome is one too many."""
    stage.order(Fault(Faulty.ERROR_AFTER), times=None)
    stage.record(create())
    stage.deliver()
    assert (stage.message().state, stage.message().resends) == ("held", 1)
    assert len(stage.calls()) == 2


def test_an_unknown_create_that_never_happened_is_shown_once(stage: Stage) -> None:
    stage.order(Fault(Faulty.ERROR_BEFORE))
    stage.record(create())
    stage.deliver()
    assert (stage.message().state, stage.shown()) == ("delivered", ["A"])
    assert stage.message().maybe_doubled  # nobody can tell


def test_the_newest_text_is_sent_after_an_unknown_create(stage: Stage, wait_until: WaitUntil) -> None:
    """R1: settle, then speak; and what is said then is the newest."""
    stage.order(Fault(Faulty.ERROR_BEFORE))
    stage.record(create(text="A"))
    with stage.delivering():
        wait_until(stage.stands("retrying"), 5, "the first outcome is unknown")
        stage.record(Update("m", "B"))
        wait_until(stage.stands("delivered"), 5, "the message is delivered")
    assert stage.calls() == [("POST", "A"), ("POST", "B")]


@pytest.mark.parametrize("fault", UNKNOWN)
def test_an_unknown_edit_is_repeated_freely(stage: Stage, fault: Fault) -> None:
    """It costs no re-send, and doubles nothing."""
    stage.record(create(text="A", max_resends=0))
    stage.deliver()
    stage.order(fault, PUTS, times=2)
    stage.record(Update("m", "B"))
    stage.deliver(IMPATIENT)
    message = stage.message()
    assert (message.state, message.resends, message.maybe_doubled) == ("delivered", 0, False)
    assert stage.calls() == [("POST", "A"), *[("PUT", "B")] * 3]
    assert stage.shown() == ["B"]


def test_an_unknown_removal_is_repeated_and_a_404_is_its_success(stage: Stage) -> None:
    stage.record(create())
    stage.deliver()
    stage.order(Fault(Faulty.ERROR_AFTER), Match(methods=frozenset({"DELETE"})))
    stage.record(Delete("m"))
    stage.deliver()
    assert stage.message().state == "deleted"
    assert [entry.status for entry in stage.sandbox.journal.since(2)] == [404]


@pytest.mark.parametrize("body", ["{}", '{"id":null}', '{"id":""}', '{"id":".."}', "[]", "OK", "", '{"id":"AXC'])
def test_a_create_without_a_usable_id_is_held_and_never_sent_again(stage: Stage, body: str) -> None:
    """R9: it is there, and cannot be reached."""
    stage.order(Fault(Faulty.BAD_BODY, body=body))
    stage.record(create())
    stage.deliver()
    stage.deliver()
    assert (stage.message().state, stage.message().reason) == ("held", "no_message_id")
    assert stage.calls() == [("POST", "A")]


# ---------------------------------------------------------------- refusals


def test_a_refused_message_fails_alone(stage: Stage) -> None:
    stage.order(Fault(Faulty.REFUSED), Match(text_contains="bad"))
    stage.record(create("bad", text="bad"), create("good", text="good"))
    stage.deliver()
    bad = stage.message("bad")
    assert (bad.state, bad.reason) == ("failed", "refused")
    assert bad.last_error is not None
    assert (bad.last_error.status, bad.last_error.code) == (400, "invalid_parameter")
    assert stage.message("good").state == "delivered"
    stage.deliver()
    assert len(stage.calls()) == 2


def test_words_that_redis_cannot_keep_do_not_stop_the_others(stage: Stage) -> None:
    """JSON may hold half of a surrogate pair."""
    fault = Fault(Faulty.ERROR_BEFORE, status=400, body='{"code":"\\ud800","message":"\\ud800 is wrong"}')
    stage.order(fault, Match(text_contains="bad"))
    stage.record(create("bad", text="bad"), create("good", text="good"))
    stage.deliver()
    assert [stage.message("bad").state, stage.message("good").state] == ["failed", "delivered"]


def test_an_edit_of_what_is_gone_fails_and_an_upsert_starts_anew(stage: Stage) -> None:
    stage.record(create(text="A"))
    stage.deliver()
    [there] = stage.sandbox.store.chat("v")
    stage.sandbox.store.delete(there, 0)
    stage.record(Update("m", "B"))
    stage.deliver()
    assert (stage.message().state, stage.message().reason) == ("failed", "gone")
    with pytest.raises(Gone):
        stage.record(Update("m", "C"))
    stage.record(Upsert("m", "v", "D", agent_id="a"))
    stage.deliver()
    assert (stage.message().state, stage.shown()) == ("delivered", ["D"])
    assert stage.calls()[-1] == ("POST", "D")


# ---------------------------------------------------------------- the account's trouble


def test_a_429_is_waited_out_in_full_and_costs_no_attempt(stage: Stage, wait_until: WaitUntil) -> None:
    """Promise 6; and the other messages of the account wait with it."""
    stage.order(Fault(Faulty.RATE_LIMITED, reset=1))
    stage.record(create("m"), create("n"))
    with stage.delivering(replace(OPTIONS, inflight=1)):
        wait_until(lambda: stage.pause().get("reason") == "rate_limited", 5, "the account waits")
        assert [stage.message(i).attempts for i in "mn"] == [0, 0]
        assert [stage.message(i).state for i in "mn"] == ["queued", "queued"]
        wait_until(stage.stands("delivered", "m"), 5, "the limited one is delivered")
        wait_until(stage.stands("delivered", "n"), 5, "the other one is delivered")
    first, second, _ = stage.sandbox.journal.since(0)
    assert second.received_at - (first.finished_at or 0) >= 1
    assert not stage.message("m").maybe_doubled


def test_a_refused_key_pauses_and_one_call_probes(stage: Stage) -> None:
    """Promise 8: no message fails for it, and none is tried meanwhile."""
    stage.key = "wrong"
    stage.record(*(create(f"m{n}", visitor_id=f"v{n}") for n in range(3)))
    stage.deliver()
    assert stage.pause()["reason"] == "key_refused"
    tried = stage.sandbox.journal.last
    assert 1 <= tried <= 3
    stage.deliver()
    assert stage.sandbox.journal.last == tried
    assert [(stage.message(f"m{n}").state, stage.message(f"m{n}").attempts) for n in range(3)] == [("queued", 0)] * 3
    stage.end_the_pause()
    stage.deliver()  # the key is still wrong: one call finds it out, and the pause goes on
    assert stage.sandbox.journal.last == tried + 1
    assert stage.pause()["strikes"] == "2"
    stage.key = "right"
    stage.end_the_pause()
    stage.deliver()
    assert stage.pause() == {}
    assert all(stage.message(f"m{n}").state == "delivered" for n in range(3))
    probe, *others = stage.sandbox.journal.since(tried + 1)
    assert (probe.request.method, len(others)) == ("GET", 3), "a pause is not probed with a create (R11)"
    assert all(other.received_at >= (probe.finished_at or 0) for other in others)


def test_an_api_that_is_down_pauses_and_all_is_delivered_once_it_is_up(
    valkey_url: str, account: str, wait_until: WaitUntil
) -> None:
    """No message fails for it, and none counts an attempt."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sandbox = Sandbox()
    stage = Stage(valkey_url, account, sandbox, f"http://127.0.0.1:{port}/v3")
    stage.record(*(create(f"m{n}", max_resends=0) for n in range(3)))
    with stage.delivering():
        wait_until(lambda: stage.pause().get("reason") == "unreachable", 5, "the account pauses")
        assert [stage.message(f"m{n}").attempts for n in range(3)] == [0, 0, 0]
        with running(sandbox, port=port):
            wait_until(lambda: stage.ledger.counts()["known"] == 3, 10, "all are delivered")
    assert len(stage.shown()) == 3
    stage.ledger.close()


def test_an_api_that_fails_in_a_row_pauses(stage: Stage) -> None:
    """One message may fail alone; five in a row are the API's trouble."""
    stage.order(Fault(Faulty.ERROR_BEFORE), times=None)
    stage.record(*(create(f"m{n}", max_resends=10) for n in range(6)))
    stage.deliver(replace(OPTIONS, inflight=1))
    assert stage.pause()["reason"] == "api_down"
    assert stage.sandbox.journal.last == 5


def test_two_deliveries_share_the_budget(stage: Stage) -> None:
    """Promise 6: as the only users of the key they see no 429."""
    stage.sandbox.set_rate(Rate(10, 1.0))
    options = replace(OPTIONS, budget=Budget((RateWindow(10, timedelta(seconds=1)),)))
    stage.record(*(create(f"m{n}", visitor_id=f"v{n}") for n in range(25)))
    stage.deliver(options, options)
    assert [entry.status for entry in stage.sandbox.journal.since(0)] == [200] * 25


# ---------------------------------------------------------------- workers and servers that come and go


class Gate:
    """A performer that hands in its answers when it is told to."""

    def __init__(self, opened: threading.Event) -> None:
        self._opened = opened
        self._api: Api | None = None

    def __call__(self, api: Api) -> Gate:
        self._api = api
        return self

    async def perform(self, call: Call, send_by: float) -> Answer:
        assert self._api is not None
        answer = await self._api.perform(call, send_by)
        await asyncio.to_thread(self._opened.wait, 10)
        return answer


def test_a_late_answer_hands_in_its_id(stage: Stage, wait_until: WaitUntil) -> None:
    """R8: the lease was over and the message held; its answer ends the question, and nothing is doubled."""
    opened = threading.Event()
    short = replace(OPTIONS, lease=timedelta(seconds=1), call_timeout=timedelta(milliseconds=500))
    stage.record(create(max_resends=0))
    with stage.delivering(short, wrap=Gate(opened)):
        wait_until(stage.stands("held"), 5, "the lease is over and the message held")
        opened.set()
        wait_until(stage.stands("delivered"), 5, "the late answer is taken")
    assert stage.calls() == [("POST", "A"), ("PUT", "A")]  # the remote text is unknown until confirmed (R3)
    assert stage.shown() == ["A"]
    assert stage.message().message_id == stage.sandbox.store.chat("v")[0].id


class Wire:
    """A way to the ledger's server that can be cut."""

    def __init__(self, url: str) -> None:
        host, _, rest = url.removeprefix("redis://").partition(":")
        port, _, database = rest.partition("/")
        self._target = (host, int(port))
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_cut = False
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/{database}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while read := source.recv(65_536):
                sink.sendall(read)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self._is_cut = True
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in [*self._open, self._listener]:
            one.close()


@pytest.fixture
def wire(valkey_url: str) -> Iterator[Wire]:
    made = Wire(valkey_url)
    yield made
    made.close()


def test_an_outcome_is_kept_while_the_ledger_is_away(stage: Stage, wire: Wire, wait_until: WaitUntil) -> None:
    """The worker settles again until Redis is back; the message is not sent again."""
    stage.order(Fault(Faulty.LATENCY, seconds=0.3))
    stage.record(create())
    with stage.delivering(redis_url=wire.url):
        wait_until(stage.in_the_air(), 5, "the create is in the air")
        wire.cut()
        wait_until(stage.in_the_air(0), 5, "the create is answered")
        assert stage.message().state == "sending"
        wire.mend()
        wait_until(stage.stands("delivered"), 5, "the outcome is written down")
    assert stage.calls() == [("POST", "A")]
    assert not stage.message().maybe_doubled


def test_a_stopping_worker_lets_go_of_an_outcome_at_last(
    stage: Stage, wire: Wire, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    """SHUTDOWN_GRACE bounds its end while Redis is away; what it knew is in the log."""
    hasty = replace(OPTIONS, shift=timedelta(milliseconds=100), shutdown_grace=timedelta(milliseconds=100))
    stage.order(Fault(Faulty.LATENCY, seconds=0.1))
    stage.record(create())
    with stage.delivering(hasty, redis_url=wire.url) as stop:
        wait_until(stage.in_the_air(), 5, "the create is in the air")
        wire.cut()
        stop.set()
    [message_id] = [message.id for message in stage.sandbox.store.chat("v")]
    assert any(message_id in record.getMessage() for record in caplog.records)
    assert stage.message().state == "sending"  # its lease will end


def test_a_shift_without_a_ledger_ends(stage: Stage, wire: Wire) -> None:
    """With nothing in the air there is nothing to stay for: the tick begins another."""
    wire.cut()
    with pytest.raises(LedgerUnavailable):
        stage.deliver(redis_url=wire.url)


def test_a_stopping_shift_ends_its_calls_and_takes_no_more(stage: Stage, wait_until: WaitUntil) -> None:
    """SIGTERM loses nothing: what is in the air is settled, what waits stays queued."""
    stage.order(Fault(Faulty.LATENCY, seconds=0.3), times=None)
    stage.record(*(create(f"m{n}", visitor_id=f"v{n}") for n in range(3)))
    with stage.delivering(replace(OPTIONS, inflight=2)) as stop:
        wait_until(stage.in_the_air(2), 5, "two are in the air")
        stop.set()
    assert sorted(stage.message(f"m{n}").state for n in range(3)) == ["delivered", "delivered", "queued"]
    assert len(stage.calls()) == 2


def test_past_its_send_by_nothing_is_sent(stage: Stage) -> None:
    """R4: by a clock on which a lease is over before the worker comes to send."""
    clock = itertools.count(0, 100)
    stage.record(create())
    stage.deliver(replace(OPTIONS, shift=timedelta(milliseconds=200)), clock=lambda: next(clock))
    assert stage.sandbox.journal.last == 0
    assert (stage.message().state, stage.message().attempts) == ("queued", 0)


@pytest.mark.parametrize("reply_lost", [False, True], ids=["slow reply", "lost reply"])
def test_send_by_counts_from_before_the_claim_was_first_asked(
    stage: Stage, wait_until: WaitUntil, reply_lost: bool
) -> None:
    """R4: the lease began at some time after the question, and asking it again does not begin another."""
    now = 0.0
    questions: list[str] = []
    answers: list[Answer] = []

    class Slow(AsyncLedger):
        async def settle_and_claim(self, settlements: Any, claim_id: str, *others: Any) -> Any:
            nonlocal now
            questions.append(claim_id)
            answer = await super().settle_and_claim(settlements, claim_id, *others)
            if len(questions) == 2:
                now += (OPTIONS.lease - OPTIONS.call_timeout).total_seconds() + 0.1
                if reply_lost:
                    raise LedgerUnavailable("the reply was lost")
            return answer

    class Noting:
        def __init__(self, api: Api) -> None:
            self._api = api

        async def perform(self, call: Call, send_by: float) -> Answer:
            answers.append(await self._api.perform(call, send_by))
            return answers[-1]

    stage.order(Fault(Faulty.LATENCY, seconds=0.2))
    stage.record(create("first"))
    with stage.delivering(clock=lambda: now, wrap=Noting, ledger_class=Slow):
        wait_until(stage.in_the_air(), 5, "the first one is in the air")
        stage.record(create("second", text="B"))
        wait_until(stage.stands("delivered", "second"), 5, "the second one is delivered")
    assert isinstance(answers[0], Answered)
    assert answers[1] == Dropped()
    assert (questions[1] == questions[2]) is reply_lost
    assert stage.calls() == [("POST", "A"), ("POST", "B")]
    assert not stage.message("second").maybe_doubled


@pytest.mark.parametrize("stopped", [False, True], ids=["in the middle", "while stopping"])
def test_a_claim_whose_answer_is_lost_is_asked_again(stage: Stage, stopped: bool) -> None:
    """Left alone, a create that was never sent would count as unknown once its lease is over, and be held."""
    stop = threading.Event()
    questions: list[int] = []

    class Losing(AsyncLedger):
        async def settle_and_claim(self, settlements: Any, claim_id: str, wanted: int, *others: Any) -> Any:
            questions.append(wanted)
            answer = await super().settle_and_claim(settlements, claim_id, wanted, *others)
            if len(questions) == (2 if stopped else 1):
                if stopped:
                    stop.set()
                raise LedgerUnavailable("the reply was lost")
            if stopped and len(questions) == 1:
                stage.record(*(create(f"m{n}", max_resends=0) for n in range(2)))
            return answer

    stage.order(Fault(Faulty.LATENCY, seconds=0.1))
    stage.record(create("first") if stopped else create("m0", max_resends=0))
    stage.deliver(replace(OPTIONS, inflight=1 if stopped else 4), stopping=stop.is_set, ledger_class=Losing)
    assert stage.message("m0").state == "delivered"
    assert not stage.message("m0").maybe_doubled
    if stopped:
        assert questions[2:] == [0]  # nothing new is claimed
        assert stage.message("m1").state == "queued"


def test_a_bug_in_the_client_is_an_unknown_outcome(stage: Stage, wait_until: WaitUntil) -> None:
    """R10: the call may have gone out before it broke; and the other messages go on."""

    class Broken:
        def __init__(self, api: Api) -> None:
            self._api = api

        async def perform(self, call: Call, send_by: float) -> Answer:
            answer = await self._api.perform(call, send_by)
            if "bad" in str(call):
                raise RuntimeError("a bug")
            return answer

    stage.record(create("bad", text="bad", max_resends=0), create("good", text="good"))
    stage.deliver(wrap=Broken)
    assert (stage.message("bad").state, stage.message("bad").reason) == ("held", "outcome_unknown")
    assert stage.message("good").state == "delivered"
    assert len(stage.calls()) == 2

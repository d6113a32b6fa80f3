"""Signals on their way out: read, written, signed, brought again until they are taken."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pushledger.errors import LedgerUnavailable, SettingsError
from pushledger.signals import Signal, read_signal
from pushledger_worker import courier
from pushledger_worker.courier import Courier
from pushledger_worker.receivers import Hook, NotTold, Receiver, Webhook, receivers, signature
from pushledger_worker.settings import WorkerSettings
from pushledger_worker.signal_desk import MOST_AT_ONCE, SignalDesk
from pydantic import SecretStr

if TYPE_CHECKING:
    from conftest import WaitUntil

SECRET = SecretStr("a secret of the tests")
HELD = "1800000000000 held outcome_unknown order:1 of\nJune"
PAUSED = "1800000000000 paused 1800000060000 by hand: sale"
RESUMED = "1800000000000 resumed by hand: sale"
OVERDUE = "1800000000000 overdue 1799999000000"
NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


# ---------------------------------------------------------------- a signal


def test_each_kind_is_read_with_what_belongs_to_it() -> None:
    held, paused, resumed, overdue = (read_signal("shop", line).to_json() for line in (HELD, PAUSED, RESUMED, OVERDUE))
    ids = [document.pop("id") for document in (held, paused, resumed, overdue)]
    assert {document.pop("account") for document in (held, paused, resumed, overdue)} == {"shop"}
    at = "2027-01-15T08:00:00+00:00"
    assert held == {"kind": "held", "at": at, "local_id": "order:1 of\nJune", "reason": "outcome_unknown"}
    assert paused == {"kind": "paused", "at": at, "reason": "by hand: sale", "until": "2027-01-15T08:01:00+00:00"}
    assert resumed == {"kind": "resumed", "at": at, "reason": "by hand: sale"}
    assert overdue == {"kind": "overdue", "at": at, "since": "2027-01-15T07:43:20+00:00"}
    assert len({*ids, read_signal("shop", HELD).id}) == 4, "the same line has the same id"
    assert read_signal("fr", HELD).id != read_signal("de", HELD).id, "they happened to two accounts"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (HELD, "order:1 of\nJune is held: outcome_unknown"),
        (PAUSED, "the account is paused: by hand: sale"),
        (RESUMED, "the account goes on after its pause: by hand: sale"),
        (OVERDUE, "the oldest message has been due since 2027-01-15 07:43:20+00:00"),
        (OVERDUE.replace("overdue", "caught_up"), "no message has been due for long any more"),
    ],
)
def test_a_signal_has_a_sentence(line: str, said: str) -> None:
    assert read_signal("shop", line).sentence() == f"shop: {said}"


# ---------------------------------------------------------------- the webhook


def webhook(answer: Callable[[httpx.Request], httpx.Response]) -> Webhook:
    return Webhook("https://duty.example/s3cr3t", SECRET, httpx.MockTransport(answer))


def test_signals_are_posted_as_one_signed_document() -> None:
    seen: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    webhook(take).tell([read_signal("shop", HELD), read_signal("shop", PAUSED)])
    (request,) = seen
    assert (request.method, request.url) == ("POST", "https://duty.example/s3cr3t")
    assert request.headers["content-type"] == "application/json"
    document = json.loads(request.content)
    assert (document["account"], [one["kind"] for one in document["signals"]]) == ("shop", ["held", "paused"])
    timestamp = request.headers["pushledger-timestamp"]
    assert abs(int(timestamp) - datetime.now(UTC).timestamp()) < 5
    assert request.headers["pushledger-signature"] == signature(SECRET, timestamp, request.content)
    assert SECRET.get_secret_value() not in f"{request.headers} {request.content!r}"


@pytest.mark.parametrize("status", [199, 301, 400, 404, 429, 500])
def test_any_answer_but_2xx_is_none(status: int) -> None:
    with pytest.raises(NotTold, match=f"status {status}"):
        webhook(lambda _: httpx.Response(status, headers={"location": "https://elsewhere.example/"})).tell(
            [read_signal("shop", HELD)]
        )


def test_trouble_on_the_way_is_named_without_the_address() -> None:
    def break_off(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {request.url}", request=request)

    with pytest.raises(NotTold) as caught:
        webhook(break_off).tell([read_signal("shop", HELD)])
    assert str(caught.value) == "ConnectError"


# ---------------------------------------------------------------- the hook


def test_a_hook_hears_each_signal_whatever_it_raises(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def on_signal(signal: Signal) -> None:
        heard.append(signal.kind)
        raise ValueError("of the hook's own")

    Hook(on_signal).tell([read_signal("shop", HELD), read_signal("shop", PAUSED)])
    assert heard == ["held", "paused"]
    broken = [record for record in caplog.records if getattr(record, "action", "") == "signal_hook_broke"]
    assert len(broken) == 2
    assert all(record.exc_info for record in broken)


@pytest.fixture
def duty(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("duty")
    monkeypatch.setitem(sys.modules, "duty", module)
    return module


def test_a_hook_is_found_by_its_path(duty: ModuleType) -> None:
    heard: list[Signal] = []
    duty.__dict__["on_signal"] = heard.append
    Hook.named("duty:on_signal").tell([read_signal("shop", HELD)])
    assert heard == [read_signal("shop", HELD)]


@pytest.mark.parametrize("path", ["no_such_module:f", "duty:missing", "duty:number"])
def test_a_hook_that_is_none_is_a_setting_that_does_not_fit(duty: ModuleType, path: str) -> None:
    duty.__dict__["number"] = 7
    with pytest.raises(SettingsError, match="PUSHLEDGER_SIGNAL_HOOK: "):
        Hook.named(path)


def settings(**values: Any) -> WorkerSettings:
    return WorkerSettings(api_key="k", redis_url="redis://127.0.0.1/0", **values)


def test_the_settings_name_the_receivers(duty: ModuleType) -> None:
    duty.__dict__["on_signal"] = print
    assert receivers(settings()) == []
    both = {"signal_url": "https://duty.example/", "signal_secret": "0123456789abcdef", "signal_hook": "duty:on_signal"}
    assert [receiver.name for receiver in receivers(settings(**both))] == ["webhook", "hook"]
    assert "duty.example" not in repr(settings(**both)), "the address may hold a secret"
    assert "0123456789abcdef" not in repr(settings(**both))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"signal_url": "https://duty.example/"}, "set both PUSHLEDGER_SIGNAL_URL and PUSHLEDGER_SIGNAL_SECRET"),
        ({"signal_secret": "0123456789abcdef"}, "set both PUSHLEDGER_SIGNAL_URL and PUSHLEDGER_SIGNAL_SECRET"),
        ({"signal_url": "duty.example", "signal_secret": "0123456789abcdef"}, "PUSHLEDGER_SIGNAL_URL: must start with"),
        ({"signal_url": "https://duty.example/", "signal_secret": "short"}, "PUSHLEDGER_SIGNAL_SECRET: must have at"),
        ({"signal_hook": "duty"}, "PUSHLEDGER_SIGNAL_HOOK: "),
        ({"log_format": "xml"}, "PUSHLEDGER_LOG_FORMAT: "),
    ],
)
def test_a_setting_that_does_not_fit_is_named(values: dict[str, str], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        settings(**values)


# ---------------------------------------------------------------- couriers


class Stubborn:
    """A receiver that takes nothing before the given try."""

    name = "stubborn"

    def __init__(self, from_try: int = 0) -> None:
        self.tries: list[list[str]] = []
        self._from_try = from_try

    def tell(self, signals: Sequence[Signal]) -> None:
        self.tries.append([signal.kind for signal in signals])
        if len(self.tries) <= self._from_try:
            raise NotTold("status 500")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "FIRST_WAIT", 0.001)


@pytest.fixture
def send(wait_until: WaitUntil) -> Iterator[Callable[[Receiver], tuple[Courier, list[str]]]]:
    started: list[Courier] = []

    def start(receiver: Receiver) -> tuple[Courier, list[str]]:
        settled: list[str] = []
        started.append(Courier(receiver, settled.extend))
        return started[-1], settled

    yield start
    for one in started:
        one.close()
    names = {f"signals-{name}" for name in ("stubborn", "stuck")}
    wait_until(lambda: not names & {thread.name for thread in threading.enumerate()}, 5, "no thread is left")


@pytest.mark.usefixtures("_quick")
def test_a_courier_tries_until_the_signals_are_taken(
    send: Callable[..., Any], wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Stubborn(3)
    one, settled = send(receiver)
    failures: list[int] = []
    real = one._next
    one._next = lambda number: failures.append(number) or real(number)
    one.bring({HELD: read_signal("shop", HELD)})
    wait_until(lambda: settled, 5, "it is taken")
    assert receiver.tries == [["held"]] * 4
    assert settled == [HELD]
    warned = [record.levelname for record in caplog.records if getattr(record, "action", "") == "signal_not_told"]
    assert warned == ["WARNING"] * 3
    one.bring({PAUSED: read_signal("shop", PAUSED)})
    wait_until(lambda: len(settled) == 2, 5, "the next one too")
    assert receiver.tries[4:] == [["paused"]]
    assert failures[:5] == [0, 1, 2, 3, 0], "the waits grow, and begin anew"


def test_the_waits_grow_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    one = Courier(Stubborn(), lambda _: None)
    one._closed = True
    monkeypatch.setattr(one._changed, "wait_for", lambda _, seconds=None: waits.append(seconds) or True)
    for failures in range(8):
        one._next(failures)
    assert waits[::2] == [0, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.usefixtures("_quick")
def test_a_courier_gives_up_after_an_hour_with_an_error(
    send: Callable[..., Any], wait_until: WaitUntil, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Stubborn(1000)
    one, settled = send(receiver)
    one.bring({HELD: read_signal("shop", HELD)})
    wait_until(lambda: len(receiver.tries) > 3, 5, "it tries")
    assert settled == []
    monkeypatch.setattr(courier, "GIVE_UP_AFTER", 0.0)
    wait_until(lambda: settled == [HELD], 5, "it gives up")
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (error.__dict__["action"], error.__dict__["given_up"]) == ("signal_not_told", 1)


# ---------------------------------------------------------------- the desk


class Lines:
    """A ledger that hands out the given lines once, and notes what it is told."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.asked = list(lines), list[dict[str, Any]]()
        self.is_away = False

    def take_signals(self, wanted: int, **asked: Any) -> dict[str, Signal]:
        if self.is_away:
            raise LedgerUnavailable("away")
        self.asked.append({"wanted": wanted, **asked})
        taken, self.lines = self.lines[:wanted], self.lines[wanted:]
        return {line: read_signal("shop", line) for line in taken}


def look(desk: SignalDesk, ledger: Lines) -> None:
    """What a tick does."""
    done, held = desk.standing()
    desk.take(ledger.take_signals(MOST_AT_ONCE - len(held), done=done, held=held), done)


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if getattr(record, "action", "") == "signal"]


def test_without_receivers_each_signal_is_a_line_of_the_log_and_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ledger = Lines(HELD, RESUMED)
    desk = SignalDesk(ledger, [])
    look(desk, ledger)
    held, resumed = told(caplog)
    assert (held.levelname, held.getMessage()) == ("WARNING", "shop: order:1 of\\nJune is held: outcome_unknown")
    assert (held.__dict__["signal"], held.__dict__["local_id"]) == ("held", "order:1 of\nJune")
    assert resumed.levelname == "INFO"
    look(desk, ledger)
    look(desk, ledger)
    assert [asked["done"] for asked in ledger.asked] == [[], [HELD, RESUMED], []]
    assert len(told(caplog)) == 2


def test_what_a_courier_has_in_hand_is_kept_and_leaves_less_room(
    wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, stuck, go_on = Lines(HELD, PAUSED), threading.Event(), threading.Event()

    class Stuck:
        name = "stuck"

        def tell(self, signals: Sequence[Signal]) -> None:
            stuck.set()
            assert go_on.wait(10)

    desk = SignalDesk(ledger, [Stuck()])
    look(desk, ledger)
    assert stuck.wait(5)
    look(desk, ledger)  # does not wait for it
    assert (ledger.asked[1]["wanted"], ledger.asked[1]["done"]) == (98, [])
    assert ledger.asked[1]["held"] == [HELD, PAUSED]
    ledger.lines = [HELD]  # as after a lease that ran out while the ledger was away
    look(desk, ledger)
    assert len(told(caplog)) == 2, "each is told once"
    go_on.set()
    wait_until(lambda: desk.standing()[0], 5, "it is taken")
    look(desk, ledger)
    assert ledger.asked[-1]["done"] == [HELD, PAUSED]
    desk.close()


def test_what_was_told_while_the_ledger_is_away_is_said_later(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Lines(HELD)
    desk = SignalDesk(ledger, [])
    look(desk, ledger)
    ledger.is_away = True
    with pytest.raises(LedgerUnavailable):
        look(desk, ledger)
    ledger.is_away = False
    look(desk, ledger)
    assert ledger.asked[-1]["done"] == [HELD]
    assert len(told(caplog)) == 1


def test_a_desk_that_closes_hands_back_what_is_not_told(wait_until: WaitUntil) -> None:
    ledger, receiver = Lines(HELD), Stubborn(1000)
    desk = SignalDesk(ledger, [receiver])
    look(desk, ledger)
    wait_until(lambda: receiver.tries, 5, "it was tried")
    desk.close()
    last = ledger.asked[-1]
    assert (last["wanted"], last["held"], last["lease"]) == (0, [HELD], timedelta(0))


def test_two_receivers_must_both_have_it(wait_until: WaitUntil) -> None:
    ledger, willing, stubborn = Lines(HELD), Stubborn(), Stubborn(1000)
    desk = SignalDesk(ledger, [willing, stubborn])
    look(desk, ledger)
    wait_until(lambda: willing.tries and stubborn.tries, 5, "both were tried")
    look(desk, ledger)
    assert (ledger.asked[-1]["done"], ledger.asked[-1]["held"]) == ([], [HELD])
    desk.close()


# ---------------------------------------------------------------- the page


def test_the_snippets_of_the_page_run_and_verify(caplog: pytest.LogCaptureFixture) -> None:
    page = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/signals.md", "exec"), names)
    seen: list[httpx.Request] = []
    webhook(lambda request: seen.append(request) or httpx.Response(200)).tell([read_signal("shop", HELD)])
    timestamp, signed = (seen[0].headers[f"pushledger-{name}"] for name in ("timestamp", "signature"))
    is_genuine, secret, body = names["is_genuine"], SECRET.get_secret_value(), seen[0].content
    assert is_genuine(secret, timestamp, signed, body)
    assert not is_genuine(secret + "x", timestamp, signed, body)
    assert not is_genuine(secret, timestamp, signed, body + b" ")
    old = str(int(timestamp) - 301)
    assert not is_genuine(secret, old, signature(SECRET, old, body), body), "it was kept, and is sent again"
    names["on_signal"](read_signal("shop", HELD))

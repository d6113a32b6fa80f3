"""Watching an account: one line a look, or a terminal redrawn; a ledger that is away ends nothing."""

from __future__ import annotations

import builtins
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from pushledger.cli import cli
from pushledger.errors import LedgerUnavailable
from pushledger.ledger import Account, Budget, Pause
from pushledger.status import Status
from pushledger.watch import watch

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


def status(queued: int, pause: Pause | None = None) -> Status:
    account = Account(NOW, pause, queued, None, 7, None, 7, None, timedelta(0), Budget(), looked_after_at=NOW)
    return Status("shop", account, {"queued": queued, "held": 1}, {"jobs": 9})


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept; nobody waits for it, and the third look is the last."""
    seconds: list[float] = []

    def sleep(duration: float) -> None:
        seconds.append(duration)
        if len(seconds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    return seconds


def watched(as_json: bool = False) -> None:
    found: list[Status | Exception] = [status(2), LedgerUnavailable("the ledger is \x1b[2Jaway"), status(1)]

    def read() -> Status:
        one = found.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    with pytest.raises(KeyboardInterrupt):
        watch(read, timedelta(seconds=5), as_json)


def test_each_look_is_one_line_whatever_happens(slept: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    watched()
    first, away, last = capsys.readouterr().out.splitlines()
    said = "2 queued, 1 held; calls left: 7; oldest due: -; drained in: 0:00:00"
    assert first == f"2027-01-15 08:00:00+00:00  {said}"
    assert away.endswith("  the ledger is \\x1b[2Jaway")
    assert "1 queued" in last
    assert slept == [5.0] * 3


def test_as_json_each_look_is_one_line_too(slept: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    watched(as_json=True)
    first, away, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (first["counts"]["queued"], last["counts"]["queued"]) == (2, 1)
    assert sorted(away) == ["error", "now"]


def test_a_pause_stands_in_the_line() -> None:
    assert (
        status(1, Pause(NOW, "sale", True))
        .line()
        .endswith("; paused until 2027-01-15 08:00:00+00:00: sale, then probed one call at a time")
    )


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing to do."""


def test_a_terminal_is_redrawn(slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    watched()
    assert "messages:      2 queued, 1 held" in terminal.text
    assert "  jobs 9" in terminal.text
    assert "\x1b[1A" in terminal.text, "the cursor goes back up"
    assert "\x1b[2J" not in terminal.text


def test_a_terminal_without_rich_gets_lines(slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("rich"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **options)

    terminal = Terminal()
    monkeypatch.setattr(builtins, "__import__", lacking)
    monkeypatch.setattr(sys, "stdout", terminal)
    watched()
    assert len(terminal.text.splitlines()) == 3


@pytest.mark.parametrize("arguments", [["--every", "2s"], ["--watch", "--every", "10ms"], ["--watch", "--every", "x"]])
def test_wrong_input_is_status_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, ["status", *arguments]).exit_code == 2

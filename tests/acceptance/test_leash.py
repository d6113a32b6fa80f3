"""A leash: what runs on it ends when nobody holds the other end any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from pushledger_worker.leash import LineFormat, leash_command
from pushledger_worker.stack import kill_group

if TYPE_CHECKING:
    from conftest import WaitUntil

_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
)
_WILLING = "import time; print('here', flush=True); time.sleep(60)"

Start: TypeAlias = Callable[..., tuple["subprocess.Popen[bytes]", int]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a Python program on a leash; gives the leash, and the end to hold. It writes to the file `output`."""
    started: list[subprocess.Popen[bytes]] = []

    def run(
        program: str, *, grace: float = 30, line_format: LineFormat = "text"
    ) -> tuple[subprocess.Popen[bytes], int]:
        reading, holding = os.pipe()
        command = leash_command("part", line_format, grace, [sys.executable, "-c", program])
        with (tmp_path / "output").open("ab") as output:
            started.append(subprocess.Popen(command, stdin=reading, stdout=output, start_new_session=True))
        os.close(reading)
        return started[-1], holding

    yield run
    for process in started:
        kill_group(process.pid)
        process.wait()


@pytest.fixture
def output(tmp_path: Path) -> Callable[[], str]:
    """What was written so far."""
    return lambda: (tmp_path / "output").read_text()


def _group(leash: subprocess.Popen[bytes]) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, group, state in rows if int(group) == leash.pid and not state.startswith("Z")]


def test_lines_carry_the_name_and_the_status_is_handed_on(start: Start, output: Callable[[], str]) -> None:
    """Of both streams, and of the last line too when it has no end."""
    leash, holding = start("import sys; print('one\\ntwo'); print('three', file=sys.stderr, end=''); sys.exit(3)")
    assert leash.wait(20) == 3
    os.close(holding)
    assert sorted(output().splitlines()) == ["part      | one", "part      | three", "part      | two"]


def test_lines_as_json_hold_whatever_was_written(start: Start, output: Callable[[], str]) -> None:
    leash, holding = start("import os; os.write(1, b'a\\x1b[2Jb \"\\xff\\n')", line_format="json")
    assert leash.wait(20) == 0
    os.close(holding)
    (line,) = [json.loads(line) for line in output().splitlines()]
    assert (line["part"], line["line"]) == ("part", 'a\x1b[2Jb "�')
    assert line["time"].endswith("+00:00")


def test_let_go_it_tells_the_command_to_end(start: Start, output: Callable[[], str], wait_until: WaitUntil) -> None:
    leash, holding = start(_WILLING)
    wait_until(lambda: "here" in output(), 20, "the command runs")
    os.close(holding)
    assert leash.wait(20) == 128 + signal.SIGTERM


def test_what_does_not_end_in_time_is_killed(start: Start, output: Callable[[], str], wait_until: WaitUntil) -> None:
    leash, holding = start(_STUBBORN, grace=0.2)
    wait_until(lambda: "here" in output(), 20, "the command runs")
    os.close(holding)
    assert leash.wait(20) == 128 + signal.SIGKILL


def test_output_that_nobody_reads_stops_nothing(start: Start, tmp_path: Path) -> None:
    """As when the terminal is closed, or the disk is full."""
    os.mkfifo(tmp_path / "output")
    reader = os.open(tmp_path / "output", os.O_RDONLY | os.O_NONBLOCK)
    leash, holding = start("import sys; print('x\\n' * 100_000); sys.exit(7)")
    os.close(reader)
    assert leash.wait(20) == 7
    os.close(holding)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_command_whose_leash_was_killed_ends(start: Start, output: Callable[[], str], wait_until: WaitUntil) -> None:
    leash, holding = start(_STUBBORN)
    wait_until(lambda: "here" in output(), 20, "the command runs")
    (command,) = set(_group(leash)) - {leash.pid}
    os.kill(leash.pid, signal.SIGKILL)
    leash.wait()
    wait_until(lambda: command not in _group(leash), 20, "the command has ended")
    os.close(holding)

"""Keeps the parts of a stack running, and ends them in order: the last started first.

Each part holds the leashes of those that were started before it. So they end in the same order when this process is
killed: the worker ends its calls while the ledger is still there.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Self

from pushledger.errors import PushledgerError

from pushledger_worker.leash import LineFormat, leash_command, show_line
from pushledger_worker.parts import Part
from pushledger_worker.restarts import Ending, GiveUp, after_ending, how_it_ended
from pushledger_worker.stack import kill_group, leashed_process

__all__ = ["GivenUp", "Supervisor", "Told"]

OWN_NAME = "up"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LOOK_EVERY = 0.1
# A leash kills what does not end in time; a leash that does not even do that is killed after this.
_LEASH_ENDS = 5.0


class Told(Exception):
    """Somebody wants all of it to end."""


class GivenUp(PushledgerError):
    """A part does not stay up."""


@dataclass(slots=True)
class _Kept:
    """A part with the leash that all its processes run on, one after the other."""

    part: Part
    reading: int
    holding: int
    held: tuple[int, ...]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    in_a_row: int = 0
    due: float | None = None


@dataclass(slots=True)
class Supervisor:
    """Owns the signals of this process, and the parts, while it is entered."""

    inherited: int
    line_format: LineFormat
    all_is_up: bool = False
    ended_well: bool = True
    _kept: list[_Kept] = field(default_factory=list)
    _told: list[int] = field(default_factory=list)
    _woken: int = -1
    _waking: int = -1

    def __enter__(self) -> Self:
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._told.clear()
        for kept in reversed(self._kept):
            self._stop(kept)
        signal.set_wakeup_fd(-1)
        os.close(self._woken)
        os.close(self._waking)

    def say(self, sentence: str) -> None:
        """Tell something, in a line among those of the parts."""
        show_line(OWN_NAME, self.line_format, sentence.encode())

    def start(self, part: Part) -> None:
        """Start a part and keep it."""
        reading, holding = os.pipe()
        held = (self.inherited, *(earlier.holding for earlier in self._kept))
        self._kept.append(_Kept(part, reading, holding, held))
        self._start(self._kept[-1])

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once it holds. Raises Told, or GivenUp when a part ends before."""
        while not condition():
            self._look(_LOOK_EVERY)

    def watch(self) -> None:
        """Start again whatever ends. Raises Told or GivenUp, and never returns otherwise."""
        self.all_is_up = True
        while True:
            self._look(None)

    def _look(self, seconds: float | None) -> None:
        dues = [kept.due - time.monotonic() for kept in self._kept if kept.due is not None]
        waits = [*dues, *([] if seconds is None else [seconds])]
        self._sleep(max(0.0, min(waits)) if waits else None)
        if self._told:
            raise Told
        for kept in self._kept:
            if kept.due is not None and kept.due <= time.monotonic():
                self._start(kept)
            elif kept.process is not None and kept.process.poll() is not None:
                self._decide(kept, kept.process)

    def _decide(self, kept: _Kept, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        # A worker that was killed leaves its children, and a leash that was killed what it led.
        kill_group(process.pid)
        kept.process = None
        ending = Ending(kept.part.name, _status(process), now - kept.started_at, kept.in_a_row, self.all_is_up)
        decision = after_ending(ending)
        if isinstance(decision, GiveUp):
            raise GivenUp(decision.sentence)
        self.say(decision.sentence)
        kept.in_a_row, kept.due = decision.in_a_row, now + decision.wait

    def _start(self, kept: _Kept) -> None:
        part = kept.part
        command = leash_command(part.name, self.line_format, part.ends_within, part.command)
        try:
            kept.process = leashed_process(command, part.environment, kept.reading, kept.held)
        except OSError as error:
            raise GivenUp(f"{part.name} cannot be started: {error.strerror or error}") from None
        kept.started_at, kept.due = time.monotonic(), None

    def _stop(self, kept: _Kept) -> None:
        for end in (kept.holding, kept.reading):
            os.close(end)
        process = kept.process
        if process is None:
            return
        ends = time.monotonic() + kept.part.ends_within + _LEASH_ENDS
        while process.poll() is None and not self._told and time.monotonic() < ends:
            self._sleep(ends - time.monotonic())
        kill_group(process.pid)
        process.wait()
        if status := _status(process):
            self.ended_well = False
            self.say(f"{kept.part.name} {how_it_ended(status)} instead of stopping")

    def _sleep(self, seconds: float | None) -> None:
        """Until the time is over, or a signal came: also that a part has ended."""
        ready, _, _ = select.select([self._woken], [], [], seconds)
        if ready:
            os.read(self._woken, 4096)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._told.append(number)


def _status(process: subprocess.Popen[bytes]) -> int:
    status = process.wait()
    return 128 - status if status < 0 else status

"""Runs one part of a stack on a leash: ``python -m pushledger_worker.leash NAME text|json GRACE COMMAND …``.

Its standard input is a pipe that nothing is ever written to. When the last holder of the other end lets go, on purpose
or because it was killed, the command is told to end, and is killed after GRACE seconds. What the command writes goes
to standard output line by line, with the part's name before it, whether anybody still reads it or not.

It needs nothing but the standard library, so that it is small and there at once.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TypeAlias

__all__ = ["LineFormat", "leash_command", "show_line"]

LineFormat: TypeAlias = Literal["text", "json"]

_NAME_WIDTH = 9
_CHUNK = 65_536
_PR_SET_PDEATHSIG = 1


def leash_command(name: str, line_format: LineFormat, grace: float, command: Sequence[str]) -> list[str]:
    """What to start so that the command runs on a leash."""
    return [sys.executable, "-m", "pushledger_worker.leash", name, line_format, f"{grace:g}", *command]


def show_line(name: str, line_format: LineFormat, line: bytes) -> None:
    """Write a line of a part, as it is or as a JSON object. A full disk or a reader that left stops nothing."""
    if line_format == "json":
        said = {"part": name, "line": line.decode(errors="replace")}
        shown = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **said}).encode()
    else:
        shown = f"{name:<{_NAME_WIDTH}} | ".encode() + line
    with suppress(OSError):
        os.write(1, shown + b"\n")


class _Lines:
    """Cuts what is written into lines."""

    def __init__(self, show: Callable[[bytes], None]) -> None:
        self._show = show
        self._rest = b""

    def take(self, written: bytes) -> None:
        *lines, self._rest = (self._rest + written).split(b"\n")
        for line in lines:
            self._show(line.rstrip(b"\r"))

    def end(self) -> None:
        if self._rest:
            self._show(self._rest)


class _Leash:
    """One command, from its start to its end."""

    def __init__(self, command: Sequence[str], lines: _Lines, grace: float) -> None:
        self._lines = lines
        self._grace = grace
        self._kill_at: float | None = None
        self._woken, waking = os.pipe()
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        own_pid = os.getpid()
        # close_fds: what the command was given to hold, it holds; everything else closes by itself.
        self._command = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            close_fds=False,
            preexec_fn=lambda: _end_with(own_pid),  # safe: this process has one thread
        )
        assert self._command.stdout is not None  # noqa: S101  # it was asked for
        self._output = self._command.stdout.fileno()
        os.set_blocking(self._output, False)

    def run(self) -> int:
        """Until the command has ended; its exit status."""
        with selectors.DefaultSelector() as selector:
            for source in (0, self._output, self._woken):
                selector.register(source, selectors.EVENT_READ)
            while self._command.poll() is None:
                for key, _ in selector.select(self._time_left()):
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
                        if key.fd == 0:
                            self._let_go()
                if self._time_left() == 0:
                    self._command.kill()
                    self._kill_at = None
        while self._read(self._output):
            pass
        self._lines.end()
        status = self._command.returncode
        return 128 - status if status < 0 else status

    def _time_left(self) -> float | None:
        return None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())

    def _let_go(self) -> None:
        self._command.terminate()
        self._kill_at = time.monotonic() + self._grace

    def _read(self, source: int) -> bool:
        """Take what is there; False when nothing will come any more, or of the output, when nothing is there."""
        try:
            written = os.read(source, _CHUNK)
        except BlockingIOError:
            return False
        if source == self._output:
            self._lines.take(written)
        return bool(written)


def _end_with(parent: int) -> None:
    """Let the kernel kill the command if its leash is killed; there is no such thing but in Linux.

    To be told to end would not do: all would be told at once, and a worker needs the ledger to end well.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _main(name: str, line_format: LineFormat, grace: str, *command: str) -> None:
    holder = os.getppid()
    lines = _Lines(lambda line: show_line(name, line_format, line))
    status = _Leash(command, lines, float(grace)).run()
    if os.getppid() != holder:
        # Nobody is left to do it: what the command has left behind ends with this process, in whose group it is.
        os.killpg(0, signal.SIGKILL)
    sys.exit(status)


if __name__ == "__main__":
    _main(*sys.argv[1:])  # type: ignore[arg-type]  # as leash_command writes it

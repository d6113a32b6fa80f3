"""The processes of a whole stack on one machine, each in a process group of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["kill", "kill_group", "leashed_process", "sandbox_process", "stop", "worker_process"]

STOP_SECONDS = 20


def _start(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if "--json-ready" in arguments else output,
            stderr=output,
            text=True,
            start_new_session=True,
        )


@contextmanager
def sandbox_process(arguments: Sequence[str], log: Path) -> Iterator[str]:
    """Run the sandbox on a free port; gives its API's base URL. Raises RuntimeError if it does not come up."""
    process = _start(["-m", "brevo_sandbox", "--port", "0", "--json-ready", *arguments], {}, log)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise RuntimeError(f"the sandbox did not start; its log: {log}")
        url: str = json.loads(line)["url"]
        yield url
    finally:
        stop(process)


def worker_process(environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    """Start a worker; the caller ends it with ``stop`` or ``kill``."""
    return _start(["-m", "pushledger", "worker"], environment, log)


def leashed_process(
    command: Sequence[str], environment: Mapping[str, str], leash: int, held: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start what ``leash_command`` gives, with the pipe's end and what it and its children hold as long as they live.

    It writes to this process's standard output.
    """
    return subprocess.Popen(command, env=environment, stdin=leash, pass_fds=held, start_new_session=True)


def stop(process: subprocess.Popen[str]) -> int:
    """End a process warmly, and by force if it takes too long; its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        kill(process)
        status = process.wait()
    if process.stdout:
        process.stdout.close()
    return status


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL a process and its children, as a machine that dies would."""
    if process.poll() is None:
        kill_group(process.pid)
        process.wait()


def kill_group(group: int) -> None:
    """SIGKILL whatever there is of a process group."""
    # macOS refuses where nothing but a process that has ended is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)

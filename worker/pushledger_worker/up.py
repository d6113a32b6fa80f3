"""A small shop's whole stack on one machine, in one foreground process that keeps it running."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click
import httpx
from pushledger.errors import LedgerUnavailable, PushledgerError
from pushledger.messages import AsyncMessages, Messages
from pushledger.own_checks import check_worker
from pushledger.settings import Settings

from pushledger_worker.data_folder import DataFolder
from pushledger_worker.embedded import valkey_configuration
from pushledger_worker.leash import LineFormat
from pushledger_worker.parts import LOOPBACK, Ports, Stack, shop_lines, stack_of
from pushledger_worker.supervisor import GivenUp, Supervisor, Told

__all__ = ["PortTaken", "run_up"]

# As long as a worker and a server may take to end, and some more.
_PATIENCE_FOR_EARLIER = 150.0
_PATIENCE_FOR_WORKER = timedelta(seconds=1)
_SAY_AGAIN = 10.0


class PortTaken(PushledgerError):
    """Another program listens where a part would."""


def run_up(path: Path, ports: Ports, line_format: LineFormat) -> int:
    """Run everything until told to stop; the exit status.

    Raises PushledgerError when it cannot be started, with the way out.
    """
    # What Valkey writes is the owner's alone too, and so are folders on the way that are not there yet.
    os.umask(0o077)
    folder = DataFolder(path)
    folder.make()
    with folder.claimed(_PATIENCE_FOR_EARLIER, _say_waiting) as lock:
        stack = stack_of(os.environ, folder, ports)
        for option, port in ports.by_option().items():
            _check_port(option, port)
        password = folder.secret("redis_password").get_secret_value()
        folder.write(folder.valkey / "valkey.conf", valkey_configuration(ports.redis, password, folder.valkey))
        folder.write(folder.shop_environment, shop_lines(stack.settings, os.environ))
        return _supervised(lock, folder, ports, stack, line_format)


def _supervised(lock: int, folder: DataFolder, ports: Ports, stack: Stack, line_format: LineFormat) -> int:
    with Supervisor(lock, line_format) as supervisor:
        status = 0
        try:
            begun = time.monotonic()
            _start_all(supervisor, ports, stack)
            for line in _ready_lines(folder, ports, stack, time.monotonic() - begun):
                supervisor.say(line)
            supervisor.watch()
        except Told:
            supervisor.say("stopping: the worker ends its calls first")
        except GivenUp as error:
            supervisor.say(f"giving up: {error}")
            status = 1
    supervisor.say("stopped; nothing that was accepted is lost" if supervisor.ended_well else "stopped")
    return status if supervisor.ended_well else 1


def _start_all(supervisor: Supervisor, ports: Ports, stack: Stack) -> None:
    first, *others = stack.parts
    supervisor.start(first)
    with Messages(stack.settings) as messages:
        supervisor.wait_for(_patiently(lambda: _answers(messages), supervisor, "valkey reads what it has kept"))
    for part in others:
        supervisor.start(part)
    pages = [f"http://{LOOPBACK}:{ports.dashboard}/healthz"]
    if ports.sandbox is not None:
        pages.append(f"http://{LOOPBACK}:{ports.sandbox}/sandbox/stats")
    supervisor.wait_for(_patiently(lambda: all(map(_serves, pages)), supervisor, "the pages are not there yet"))
    supervisor.wait_for(
        _patiently(lambda: _delivers(stack.settings), supervisor, "no wake-up has come through the worker yet")
    )


def _patiently(condition: Callable[[], bool], supervisor: Supervisor, sentence: str) -> Callable[[], bool]:
    said_at = time.monotonic()

    def look() -> bool:
        nonlocal said_at
        if condition():
            return True
        if time.monotonic() - said_at > _SAY_AGAIN:
            said_at = time.monotonic()
            supervisor.say(f"still waiting: {sentence}")
        return False

    return look


def _answers(messages: Messages) -> bool:
    try:
        messages.counts()
    except LedgerUnavailable:
        return False
    return True


def _serves(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _delivers(settings: Settings) -> bool:
    async def look() -> bool:
        async with AsyncMessages(settings) as messages:
            return not (await check_worker(messages, _PATIENCE_FOR_WORKER)).is_trouble

    try:
        return asyncio.run(look())
    except LedgerUnavailable:
        return False


def _check_port(option: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTaken(
                f"{option}: port {port} cannot be had ({error.strerror or error}); end the program that listens there, "
                f"or choose another port with {option}"
            ) from None


def _say_waiting() -> None:
    click.echo(
        "An earlier `pushledger up` was killed, and what it has started is still ending; "
        f"waiting up to {_PATIENCE_FOR_EARLIER:g} s.",
        err=True,
    )


def _ready_lines(folder: DataFolder, ports: Ports, stack: Stack, seconds: float) -> list[str]:
    """What is up, and what to do next. Secrets are named by their files: a log may be kept."""
    token = "" if stack.has_own_tokens else f", the token is in {folder.dashboard_token}"
    lines = [f"dashboard: http://{LOOPBACK}:{ports.dashboard}/{token}"]
    if ports.sandbox is not None:
        lines.append(f"sandbox: what the visitors see is at http://{LOOPBACK}:{ports.sandbox}/")
    lines.append(f"data: {folder.path} (whoever saves it, saves the whole folder)")
    shell = f"set -a; . {shlex.quote(str(folder.shop_environment))}; set +a"
    lines.append(f"everything is up after {seconds:.1f} s; in the shop's shell: {shell}")
    return lines

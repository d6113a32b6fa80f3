"""What the containers of compose.yaml start with: ``python -m pushledger_worker.container worker``.

A secret comes from the environment or from a file. Where none is given, the demo's sandbox is used if it is there,
in an account of its own; otherwise the start ends with a sentence that says what to do.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

import click
from pushledger.broker import make_producer
from pushledger.errors import PushledgerError
from pushledger.messages import Messages
from pushledger.settings import Settings

from pushledger_worker.api_key import ApiKey
from pushledger_worker.served import ServedAccounts
from pushledger_worker.settings import WorkerSettings
from pushledger_worker.shop import keep_shop

__all__ = ["DEMO", "SANDBOX", "container", "environment_for", "is_alive"]

SANDBOX = "pushledger-demo-sandbox"
SANDBOX_SECONDS = 5.0
PING_SECONDS = 5.0

LookForSandbox: TypeAlias = Callable[[float], bool]

DEMO = {
    "PUSHLEDGER_ACCOUNT": "demo",
    "PUSHLEDGER_API_URL": f"http://{SANDBOX}:8025/v3",
    "PUSHLEDGER_RATE": "60/10s",
    "PUSHLEDGER_CALL_TIMEOUT": "5s",
    "PUSHLEDGER_LEASE_MARGIN": "5s",
    "PUSHLEDGER_BACKOFF_FIRST": "500ms",
    "PUSHLEDGER_SETTLE_DELAY": "2s",
    "PUSHLEDGER_RETENTION": "1h",
}


@dataclass(frozen=True, slots=True)
class _Secret:
    """A secret that a service cannot start without."""

    name: str
    called: str
    in_demo: str
    remedy: str

    @property
    def file(self) -> str:
        return f"{self.name}_FILE"


_KEY = _Secret(
    name="PUSHLEDGER_API_KEY",
    called="API key",
    in_demo="a-key-of-the-demo",
    remedy="put it into the file secrets/worker/api_key, or set PUSHLEDGER_API_KEY",
)
_TOKENS = _Secret(
    name="PUSHLEDGER_DASHBOARD_TOKENS",
    called="dashboard token",
    in_demo="demo:operate:an-open-token-of-the-demo",
    remedy="put a line like anna:operate:SECRET, the secret of 20 or more letters, into the file "
    "secrets/dashboard/tokens, or set PUSHLEDGER_DASHBOARD_TOKENS",
)
_SECRETS = {"worker": _KEY, "dashboard": _TOKENS}


class NotToStart(Exception):
    """Why a container must not start, in a sentence."""


def environment_for(service: str, environment: Mapping[str, str], sandbox_is_there: LookForSandbox) -> dict[str, str]:
    """The environment in which a service is to run: as it was given, or the demo's.

    Raises NotToStart when its secret is missing or cannot be read.
    """
    secret = _SECRETS[service]
    if _is_given(secret, environment):
        return _without_missing_file(secret, environment)
    if sandbox_is_there(SANDBOX_SECONDS):
        return {**environment, **DEMO, secret.name: secret.in_demo, secret.file: ""}
    raise NotToStart(_missing(secret))


def _is_given(secret: _Secret, environment: Mapping[str, str]) -> bool:
    if environment.get(secret.name) or _has_folder(secret, environment):
        return True
    path = Path(environment.get(secret.file) or os.devnull)
    try:
        return path.is_file() and bool(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise NotToStart(
            f"{secret.file}: {path} cannot be read by user {os.getuid()} ({type(error).__name__}); "
            "let that user read it, or set RUN_AS to the numbers of one who may, as 1000:1000"
        ) from None


def _has_folder(secret: _Secret, environment: Mapping[str, str]) -> bool:
    """Whether a folder of accounts stands in for the key; its settings say what is wrong with it."""
    return secret is _KEY and bool(environment.get("PUSHLEDGER_ACCOUNTS_DIR"))


def _without_missing_file(secret: _Secret, environment: Mapping[str, str]) -> dict[str, str]:
    path = environment.get(secret.file)
    # compose.yaml names the file whether it is there or not.
    if _has_folder(secret, environment):
        path = ""
    return {**environment, secret.file: path if path and Path(path).is_file() else ""}


def check_secrets(environment: Mapping[str, str], sandbox_is_there: LookForSandbox) -> str:
    """What will be started, in a sentence. Raises NotToStart or SettingsError, which say why it must not."""
    missing = [secret for secret in _SECRETS.values() if not _is_given(secret, environment)]
    if len(missing) == len(_SECRETS) and sandbox_is_there(SANDBOX_SECONDS):
        return "the demo: imaginary orders, a sandbox as the API, the account demo"
    if missing:
        raise NotToStart(_missing(*missing))
    if sandbox_is_there(0.0):
        raise NotToStart(
            "the profile demo is on, and secrets are given: imaginary orders and real ones stay apart; "
            "start the demo from a clone without secrets, or leave the profile out"
        )
    os.environ.update(_without_missing_file(_KEY, environment))
    settings = WorkerSettings()
    if settings.accounts_dir is not None:
        served = sorted(ServedAccounts(settings).current())
        return f"dashboard tokens are there, and accounts: {', '.join(served) or 'none yet'}"
    ApiKey(settings.api_key, settings.api_key_file).current()
    return "API key and dashboard tokens are there"


def _missing(*secrets: _Secret) -> str:
    said = "; ".join(f"no {secret.called} is given: {secret.remedy}" for secret in secrets)
    return f"{said}; or see the demo, which needs neither: docker compose --profile demo up"


def _resolves() -> bool:
    try:
        return bool(socket.getaddrinfo(SANDBOX, None))
    except OSError:
        return False


def _sandbox_is_there(seconds: float) -> bool:
    """Whether the demo's sandbox is on this network within so many seconds: it may be about to start."""
    ends = time.monotonic() + seconds
    while not (there := _resolves()) and time.monotonic() < ends:
        time.sleep(0.2)
    return there


def is_alive(node: str, broker_url: str) -> bool:
    """Whether the main process of a worker answers over the broker. Costs no call, and asks nothing of the account."""
    producer = make_producer(broker_url)
    try:
        return bool(producer.control.ping(destination=[node], timeout=PING_SECONDS))
    finally:
        producer.close()


@click.group()
def container() -> None:
    """Start what a container of compose.yaml is for."""


def _start(service: str, arguments: tuple[str, ...]) -> NoReturn:
    try:
        environment = environment_for(service, os.environ, _sandbox_is_there)
    except NotToStart as error:
        _give_up(error)
    os.execve(sys.executable, [sys.executable, "-m", "pushledger", service, *arguments], environment)  # noqa: S606


def _give_up(error: Exception) -> NoReturn:
    click.echo(f"pushledger: {error}", err=True)
    raise SystemExit(2)


@container.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Become `pushledger worker`."""
    _start("worker", arguments)


@container.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dashboard(arguments: tuple[str, ...]) -> None:
    """Become `pushledger dashboard`."""
    _start("dashboard", arguments)


@container.command()
def check() -> None:
    """Look whether the secrets are there, or else the demo; exit with 2 and a sentence if not."""
    try:
        click.echo(f"pushledger: {check_secrets(os.environ, _sandbox_is_there)}")
    except (NotToStart, PushledgerError) as error:
        _give_up(error)


@container.command()
def alive() -> None:
    """Exit with 1 unless the worker of this container answers."""
    try:
        answers = is_alive(f"celery@{socket.gethostname()}", Settings().broker_url)
    except Exception as error:  # whatever the broker's client raises
        _say_dead(f"the broker cannot be asked: {type(error).__name__}")
    if not answers:
        _say_dead(f"the worker does not answer within {PING_SECONDS:g} s")


def _say_dead(why: str) -> NoReturn:
    click.echo(f"pushledger: {why}", err=True)
    raise SystemExit(1)


@container.command()
def shop() -> None:
    """Let imaginary orders come in, in the account of the demo, until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    os.environ.update(DEMO)
    with Messages.from_env() as messages:
        keep_shop(messages, stopping)


if __name__ == "__main__":
    container()

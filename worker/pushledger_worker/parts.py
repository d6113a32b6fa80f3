"""The parts of `pushledger up` as values: what is started for each, in which environment, and how long it may end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from pushledger.errors import SettingsError
from pushledger.settings import Settings
from pydantic import SecretStr

from pushledger_worker.api_key import ApiKey
from pushledger_worker.data_folder import DataFolder
from pushledger_worker.embedded import valkey_program
from pushledger_worker.settings import WorkerSettings

__all__ = ["Part", "Ports", "Stack", "shop_lines", "stack_of"]

LOOPBACK = "127.0.0.1"
SANDBOX_RATE = "60/10s"
# A worker's processes end within this, once its calls and what it has to write down have.
_WORKER_ENDS = 10.0
_VALKEY_ENDS = 30.0
_DASHBOARD_ENDS = 10.0
_SANDBOX_ENDS = 5.0

_PREFIX = "PUSHLEDGER_"
_OF_UP = ("REDIS_URL", "BROKER_URL")
_OF_WORKER = ("API_KEY", "API_KEY_FILE", "SIGNAL_URL", "SIGNAL_SECRET")
_OF_DASHBOARD = ("DASHBOARD_TOKENS", "DASHBOARD_TOKENS_FILE", "DASHBOARD_SESSION_KEY")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts listen, on the loopback address. The sandbox only where one is wanted."""

    redis: int
    dashboard: int
    sandbox: int | None = None

    def by_option(self) -> dict[str, int]:
        """Each port with the option that chooses it."""
        ports = {"--redis-port": self.redis, "--dashboard-port": self.dashboard}
        return ports if self.sandbox is None else {**ports, "--sandbox-port": self.sandbox}


@dataclass(frozen=True, slots=True)
class Part:
    """One process with its children. ``ends_within``: seconds from being told to being killed."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ends_within: float


@dataclass(frozen=True, slots=True)
class Stack:
    """All parts, in the order of their start, and the settings by which a shop reaches the ledger."""

    parts: tuple[Part, ...]
    settings: Settings = field(repr=False)
    has_own_tokens: bool


def stack_of(given: Mapping[str, str], folder: DataFolder, ports: Ports) -> Stack:
    """What is to be started in this environment. Makes the secrets that are not there yet.

    Raises SettingsError when a setting does not fit, or there is no API key and no sandbox is wanted.
    """
    password = folder.secret("redis_password")
    redis_url = f"redis://:{password.get_secret_value()}@{LOOPBACK}:{ports.redis}/0"
    _check_servers(given, redis_url)
    worker = _worker_settings(given, folder, ports, redis_url)
    python = (sys.executable, "-m")
    common = {**_without(given, _OF_WORKER + _OF_DASHBOARD + _OF_UP), "PYTHONUNBUFFERED": "1"}
    ours = {**common, _PREFIX + "REDIS_URL": redis_url}
    if ports.sandbox is not None:
        ours |= {_PREFIX + "RATE": given.get(_PREFIX + "RATE") or SANDBOX_RATE}
    in_grace = worker.call_timeout + worker.lease_margin + worker.shutdown_grace
    valkey = (str(valkey_program()), str(folder.valkey / "valkey.conf"))
    dashboard = (*python, "pushledger", "dashboard", "--host", LOOPBACK, "--port", f"{ports.dashboard}")
    parts = [
        Part("valkey", valkey, common, _VALKEY_ENDS),
        Part("dashboard", dashboard, {**ours, **_dashboard_environment(given, folder)}, _DASHBOARD_ENDS),
        Part(
            "worker",
            (*python, "pushledger", "worker"),
            {**ours, **_only(given, _OF_WORKER), **_worker_environment(worker)},
            in_grace.total_seconds() + _WORKER_ENDS,
        ),
    ]
    if ports.sandbox is not None:
        serve = (*python, "brevo_sandbox", "--host", LOOPBACK, "--port", f"{ports.sandbox}", "--rate", SANDBOX_RATE)
        parts.insert(1, Part("sandbox", serve, common, _SANDBOX_ENDS))
    return Stack(
        parts=tuple(parts),
        settings=Settings(redis_url=redis_url, broker_url=""),
        has_own_tokens=_has_tokens(given),
    )


def shop_lines(settings: Settings, given: Mapping[str, str]) -> str:
    """What a shop must have in its environment: where the ledger is, and whatever else all must agree on."""
    lines = {_PREFIX + "REDIS_URL": settings.redis_url}
    for name in Settings.model_fields:
        variable = _PREFIX + name.upper()
        if name.upper() not in _OF_UP and given.get(variable):
            lines[variable] = given[variable]
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in lines.items())


def _check_servers(given: Mapping[str, str], redis_url: str) -> None:
    # Whoever has read shop.env into this very shell means our own server.
    if given.get(_PREFIX + "REDIS_URL", redis_url) not in ("", redis_url) or given.get(_PREFIX + "BROKER_URL"):
        raise SettingsError(
            "PUSHLEDGER_REDIS_URL and PUSHLEDGER_BROKER_URL: must not be set, as `pushledger up` brings its own "
            "server; unset them, or run `pushledger worker` and `pushledger dashboard` with yours"
        )


def _worker_settings(given: Mapping[str, str], folder: DataFolder, ports: Ports, redis_url: str) -> WorkerSettings:
    make = partial(WorkerSettings, redis_url=redis_url, broker_url="")
    if ports.sandbox is not None:
        api_url = f"http://{LOOPBACK}:{ports.sandbox}/v3"
        key = SecretStr("a-key-of-the-sandbox")
        return make(api_url=api_url, api_key=key, api_key_file=None)
    if given.get(_PREFIX + "API_KEY") or given.get(_PREFIX + "API_KEY_FILE"):
        settings = make()
    elif folder.api_key.is_file():
        settings = make(api_key_file=folder.api_key)
    else:
        raise SettingsError(
            f"no API key is given: put it into the file {folder.api_key}, or set PUSHLEDGER_API_KEY or "
            "PUSHLEDGER_API_KEY_FILE; or try it all without an account: pushledger up --sandbox"
        )
    ApiKey(settings.api_key, settings.api_key_file).current()
    return settings


def _worker_environment(settings: WorkerSettings) -> dict[str, str]:
    key, path = settings.api_key, settings.api_key_file
    return {
        _PREFIX + "API_URL": settings.api_url,
        _PREFIX + "API_KEY": key.get_secret_value() if key else "",
        # The worker may have another working directory one day; the file is read again whenever it changes.
        _PREFIX + "API_KEY_FILE": str(path.absolute()) if path else "",
    }


def _dashboard_environment(given: Mapping[str, str], folder: DataFolder) -> dict[str, str]:
    own = _only(given, _OF_DASHBOARD)
    if not _has_tokens(given):
        token = folder.secret(folder.dashboard_token.name).get_secret_value()
        own[_PREFIX + "DASHBOARD_TOKENS"] = f"owner:operate:{token}"
    if not own.get(_PREFIX + "DASHBOARD_SESSION_KEY"):
        # Kept, so that nobody is logged out by a restart.
        own[_PREFIX + "DASHBOARD_SESSION_KEY"] = folder.secret("session_key").get_secret_value()
    return own


def _has_tokens(given: Mapping[str, str]) -> bool:
    return any(given.get(_PREFIX + name) for name in ("DASHBOARD_TOKENS", "DASHBOARD_TOKENS_FILE"))


def _only(given: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    variables = [_PREFIX + name for name in names]
    return {variable: given[variable] for variable in variables if variable in given}


def _without(given: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    variables = {_PREFIX + name for name in names}
    return {name: value for name, value in given.items() if name not in variables}

"""Settings of a worker: those of the producers, and how to call the API."""

from __future__ import annotations

import functools
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pushledger.ledger import HIGHEST_SHARE, Budget, RateWindow, parse_rate
from pushledger.settings import Duration, Settings
from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

__all__ = ["WorkerSettings", "worker_settings"]

SHORTEST_SECRET = 16


def _rate(value: object) -> object:
    return parse_rate(value) if isinstance(value, str) else value


def _check_address(url: str) -> None:
    if not re.match(r"https?://[^/]", url):
        raise ValueError("must start with https:// (or http://)")
    try:
        urlsplit(url).port  # noqa: B018 - raises for one that is out of range
    except ValueError:
        raise ValueError("must be an address with a host, and a port from 0 to 65535 if any") from None


class WorkerSettings(Settings):
    """Everything a worker needs; raises SettingsError naming the variable and the rule."""

    api_key: SecretStr | None = Field(None, description="The API key. Give it here or as a file.")
    api_key_file: Path | None = Field(
        None, description="A file that holds the API key; read again whenever it changes."
    )
    accounts_dir: Path | None = Field(
        None,
        description="A folder with one folder for each account to serve, in place of one key: "
        "[accounts](accounts.md); read again whenever it changes.",
    )
    api_url: str = Field(
        "https://api.brevo.com/v3", description="Base URL of the API, with its version; a sandbox's, to try things out."
    )
    rate: Annotated[tuple[RateWindow, ...], NoDecode, BeforeValidator(_rate)] = Field(
        (RateWindow(100, timedelta(hours=1)),),
        description="Calls allowed to all workers together: `100/hour`, several windows parted by commas, or `off`.",
    )
    high_priority_share: float = Field(
        0.0, ge=0.0, le=HIGHEST_SHARE, description="Share of each window that is kept for messages of high priority."
    )
    inflight: int = Field(8, ge=1, le=200, description="Calls in the air at once, per worker process.")
    call_timeout: Duration = Field(
        timedelta(seconds=30), description="One call, all of it: connection, quick retries, answer."
    )
    lease_margin: Duration = Field(
        timedelta(seconds=15),
        ge=timedelta(milliseconds=100),
        description="How much longer than a call the lease of a message lasts; also the time a claim may take.",
    )
    give_up_after: Duration = Field(
        timedelta(days=1), description="A message that has failed for this long is given up: failed, and visible."
    )
    backoff_first: Duration = Field(timedelta(seconds=5), description="Wait before the second attempt; it doubles.")
    backoff_limit: Duration = Field(timedelta(minutes=30), description="The longest wait between two attempts.")
    shift: Duration = Field(
        timedelta(seconds=5),
        ge=timedelta(milliseconds=100),
        description="How long one delivery task works before it hands over.",
    )
    tick: Duration = Field(
        timedelta(seconds=1),
        ge=timedelta(milliseconds=10),
        description="How often a worker looks by itself whether something is due.",
    )
    shutdown_grace: Duration = Field(
        timedelta(seconds=20),
        description="How long a stopping worker tries to write down outcomes while Redis is away.",
    )
    wait_for_create: Duration = Field(
        timedelta(seconds=60),
        description="How long an update or delete with a version, enqueued by name, may arrive before its create.",
    )
    signal_url: str = Field(
        "",
        repr=False,
        description="[Signals](signals.md) are posted here as JSON; it may hold a secret, and is never logged.",
    )
    signal_secret: SecretStr | None = Field(
        None, description="Signs what is posted to PUSHLEDGER_SIGNAL_URL (HMAC-SHA256); at least 16 characters."
    )
    signal_hook: str = Field(
        "",
        pattern=r"^([\w.]+:\w+)?$",
        description="`package.module:function`: called with each signal, in a thread of the worker.",
    )
    signal_age: Duration = Field(
        timedelta(0), description="From this age on, the oldest due message is a signal; 0: never."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How a worker writes its log: lines of text, or one JSON object a line."
    )
    concurrency: int = Field(2, ge=1, le=64, description="Worker processes of one `pushledger worker`.")

    @field_validator("api_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        _check_address(url)
        return url.rstrip("/")

    @field_validator("signal_url")
    @classmethod
    def _can_be_posted_to(cls, url: str) -> str:
        if url:
            _check_address(url)
        return url

    @field_validator("signal_secret")
    @classmethod
    def _is_long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"must have at least {SHORTEST_SECRET} characters")
        return secret

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"[\x21-\x7e]+", key.get_secret_value()):
            raise ValueError("must be printable ASCII without blanks")
        return key

    @model_validator(mode="before")
    @classmethod
    def _leave_out_a_missing_file(cls, given: dict[str, object]) -> dict[str, object]:
        # compose.yaml names the file whether it is there or not, also for what is run in a worker's container.
        path, other = given.get("api_key_file"), given.get("api_key") or given.get("accounts_dir")
        is_missing = path and other and not Path(str(path)).is_file()
        return {**given, "api_key_file": None} if is_missing else given

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if sum(given is not None for given in (self.api_key, self.api_key_file, self.accounts_dir)) != 1:
            raise ValueError(
                "set exactly one of PUSHLEDGER_API_KEY, PUSHLEDGER_API_KEY_FILE and PUSHLEDGER_ACCOUNTS_DIR"
            )
        if self.accounts_dir is not None and not self.accounts_dir.is_dir():
            raise ValueError("PUSHLEDGER_ACCOUNTS_DIR: must be a folder with one folder for each account")
        if bool(self.signal_url) != (self.signal_secret is not None):
            raise ValueError("set both PUSHLEDGER_SIGNAL_URL and PUSHLEDGER_SIGNAL_SECRET, or neither")
        if self.call_timeout <= timedelta(0):
            raise ValueError("PUSHLEDGER_CALL_TIMEOUT: must be longer than 0")
        return self

    @property
    def budget(self) -> Budget:
        """The calls that all workers may make together."""
        return Budget(self.rate, self.high_priority_share)

    @property
    def lease(self) -> timedelta:
        """How long a claimed message is a worker's own."""
        return self.call_timeout + self.lease_margin


@functools.cache
def worker_settings() -> WorkerSettings:
    """This process's settings, read from the environment once."""
    return WorkerSettings()

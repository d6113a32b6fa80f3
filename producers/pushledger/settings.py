"""Settings of a shop that enqueues, from the environment (prefix ``PUSHLEDGER_``) or keyword arguments."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pushledger.broker_address import BrokerAddress
from pushledger.errors import SettingsError
from pushledger.ledger import Ledger, LedgerPolicy
from pushledger.server_address import SentinelAddress, is_behind_sentinels, verify_tls_files

__all__ = ["Duration", "Settings", "parse_duration"]

_DATABASE = r"(/\d*)?"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(text: str) -> timedelta:
    """Read a duration: ``30s``, ``10m``, ``2h``, ``7d``, ``500ms``; without a unit, seconds.

    Raises ValueError when the text is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", text)
    if not match:
        raise ValueError("must be a duration like 30s, 10m, 2h or 7d")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2] or "s"])
    except OverflowError:
        raise ValueError("must be a shorter duration") from None


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0))]


class Settings(BaseSettings):
    """What producers, workers and readers of one account must agree on.

    Raises SettingsError, naming the variable and the rule, when a value does not fit.
    """

    model_config = SettingsConfigDict(
        env_prefix="PUSHLEDGER_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="The Redis or Valkey server that holds the ledger, over TLS (`rediss://`) or behind Sentinels "
        "(`sentinel://`): [its forms](redis.md).",
    )
    broker_url: str = Field(
        "",
        repr=False,
        description="Celery's broker, [Redis or RabbitMQ](brokers.md). Empty: the ledger's server, next logical "
        "database.",
    )
    account: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Names one API key's budget, pause and set of Redis keys.",
    )
    max_resends: int = Field(
        1,
        ge=0,
        le=10,
        description="How often a create with unknown outcome may be sent again; 0: at most once, never doubled.",
    )
    settle_delay: Duration = Field(
        timedelta(seconds=30),
        description="No call goes out for a message this long after an unknown outcome: the API may still act.",
    )
    retention: Duration = Field(
        timedelta(0),
        description="How long text and visitor are kept after delivery; 0: they leave the record at once.",
    )
    tombstone_for: Duration = Field(
        timedelta(days=7), description="How long a deleted message is remembered, with its version."
    )
    timeline_for: Duration = Field(
        timedelta(days=7),
        description="How long a timeline (no texts in it) is kept after delivery; 0: not at all.",
    )
    keep_failed_for: Duration = Field(
        timedelta(days=90), description="How long failed and expired messages are kept; held ones always are."
    )
    fold_for: Duration = Field(
        timedelta(0), description="How long a change is held back so that quick ones fold; counted from the first."
    )
    lane_wait: Duration = Field(
        timedelta(minutes=5),
        description="How long a visitor's next message waits behind one that keeps failing for a time.",
    )
    patience: Duration = Field(
        timedelta(minutes=15),
        description="A message due for longer than this gets every fourth call, whatever its priority.",
    )
    max_backlog: int = Field(
        0, ge=0, description="Refuse jobs when this many messages wait; 0: no limit. A warning comes at 80 %."
    )
    ping_every: Duration = Field(
        timedelta(minutes=1),
        ge=timedelta(seconds=10),
        le=timedelta(minutes=2),
        description="How often an agent that is kept online is pinged; the API shows it so for 2 to 3 minutes.",
    )
    durability: Literal["aof", "fsync", "replica"] = Field(
        "aof",
        description="When a job is accepted: `fsync`, when the server has synced its append-only file (WAITAOF); "
        "`replica`, when a replica has it too (WAIT).",
    )
    redis_timeout: Duration = Field(
        timedelta(seconds=1.5),
        gt=timedelta(0),
        description="How long one round trip to the ledger may take before it is an error.",
    )

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)  # type: ignore[arg-type]  # pydantic checks each value against its field
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix", "sentinel", "sentinels"):
            raise ValueError("must start with redis://, rediss://, unix://, sentinel:// or sentinels://")
        # redis-py would take another path for database 0, without a word.
        if parts.scheme != "unix" and not re.fullmatch(_DATABASE, parts.path):
            raise ValueError("must end with the number of a logical database, as redis://host:6379/0 does")
        if is_behind_sentinels(url):
            SentinelAddress.from_url(url)
        elif not _has_a_port(parts):
            raise ValueError("must name a port from 0 to 65535")
        verify_tls_files(url)
        try:
            Ledger.from_url(url, "default", LedgerPolicy(), timedelta(seconds=1)).close()
        except (TypeError, ValueError):
            raise ValueError("has an option after the question mark whose value does not fit") from None
        return url

    @field_validator("broker_url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        BrokerAddress.from_url(url)
        verify_tls_files(url)
        return url

    @model_validator(mode="after")
    def _has_a_broker(self) -> Self:
        if not self.broker_url:
            object.__setattr__(self, "broker_url", _next_database(self.redis_url))
        return self

    def policy(self) -> LedgerPolicy:
        """The part of the settings that the ledger's scripts work by."""
        return LedgerPolicy(
            max_resends=self.max_resends,
            settle_delay=self.settle_delay,
            retention=self.retention,
            tombstone_for=self.tombstone_for,
            timeline_for=self.timeline_for,
            keep_failed_for=self.keep_failed_for,
            fold_for=self.fold_for,
            lane_wait=self.lane_wait,
            patience=self.patience,
            max_backlog=self.max_backlog,
            ping_every=self.ping_every,
            fsync=self.durability == "fsync",
            replica=self.durability == "replica",
        )


def _has_a_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port >= 0
    except ValueError:
        return False


def _next_database(redis_url: str) -> str:
    parts = urlsplit(redis_url)
    if parts.scheme == "unix" or "db" in parse_qs(parts.query):
        raise ValueError("PUSHLEDGER_BROKER_URL: must be given, as it cannot be derived from PUSHLEDGER_REDIS_URL")
    number = int(parts.path.strip("/") or 0) + 1
    return urlunsplit(parts._replace(path=f"/{number}"))


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    rule = first["msg"].removeprefix("Value error, ")
    return f"PUSHLEDGER_{name.upper()}: {rule}" if name else rule

"""Settings: from the environment or keyword arguments, checked once."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from pushledger import Settings, SettingsError
from pushledger.ledger import LedgerPolicy, RateWindow


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PUSHLEDGER_"):
            monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_ledgers_policy() -> None:
    assert Settings().policy() == LedgerPolicy()


@pytest.mark.parametrize(
    ("variable", "written", "field", "value"),
    [
        ("REDIS_URL", "rediss://user:pw@redis.example:6380/3", "redis_url", "rediss://user:pw@redis.example:6380/3"),
        ("BROKER_URL", "amqp://rabbit/", "broker_url", "amqp://rabbit/"),
        ("ACCOUNT", "shop-2.eu_x", "account", "shop-2.eu_x"),
        ("MAX_RESENDS", "0", "max_resends", 0),
        ("RETENTION", "7d", "retention", timedelta(days=7)),
        ("RETENTION", "", "retention", timedelta(0)),  # an empty variable is an unset one
        ("TIMELINE_FOR", "1.5h", "timeline_for", timedelta(minutes=90)),
        ("SETTLE_DELAY", " 250 ms ", "settle_delay", timedelta(milliseconds=250)),
        ("TOMBSTONE_FOR", "10m", "tombstone_for", timedelta(minutes=10)),
        ("REDIS_TIMEOUT", "2", "redis_timeout", timedelta(seconds=2)),
    ],
)
def test_the_environment_is_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, written: str, field: str, value: object
) -> None:
    monkeypatch.setenv(f"PUSHLEDGER_{variable}", written)
    assert getattr(Settings(), field) == value


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/1"),
        ("redis://127.0.0.1", "redis://127.0.0.1/1"),
        ("redis://127.0.0.1/", "redis://127.0.0.1/1"),
        ("rediss://u:p@host:1/7?ssl_cert_reqs=none", "rediss://u:p@host:1/8?ssl_cert_reqs=none"),
    ],
)
def test_the_broker_is_the_next_database_of_the_ledgers_server(redis_url: str, broker_url: str) -> None:
    assert Settings(redis_url=redis_url).broker_url == broker_url


@pytest.mark.parametrize("redis_url", ["unix:///run/redis.sock", "redis://host?db=3"])
def test_a_broker_that_cannot_be_derived_must_be_given(redis_url: str) -> None:
    with pytest.raises(SettingsError, match=r"^PUSHLEDGER_BROKER_URL: must be given"):
        Settings(redis_url=redis_url)
    assert Settings(redis_url=redis_url, broker_url="redis://other/0").broker_url == "redis://other/0"


BAD: list[dict[str, Any]] = [
    {"redis_url": "http://host/0"},
    {"redis_url": "host:6379"},
    {"redis_url": "redis://host:port/0"},
    {"redis_url": "redis://host:99999/0"},
    {"redis_url": "redis://[host/0"},
    {"redis_url": "redis://host/ledger"},  # redis-py would use database 0
    {"account": ""},
    {"account": "a}b"},  # would leave the hash tag of the keys
    {"account": "x" * 65},
    {"max_resends": -1},
    {"max_resends": 11},
    {"max_resends": "many"},
    {"retention": "-1s"},
    {"retention": timedelta(seconds=-1)},
    {"retention": "1 week"},
    {"retention": "9" * 30 + "d"},
    {"redis_timeout": "0"},  # would make the sockets non-blocking
]


@pytest.mark.parametrize("values", BAD, ids=repr)
def test_a_bad_value_is_refused_with_the_name_of_its_variable(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{"broker_url": "redis://other/0", **values})
    assert str(caught.value).startswith(f"PUSHLEDGER_{next(iter(values)).upper()}: ")


def test_neither_errors_nor_repr_tell_a_password() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(redis_url="http://user:secret@host/0")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Settings(redis_url="redis://user:secret@host/0"))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Settings(), "account", "other")  # noqa: B010  # mypy would refuse the plain form


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(("limit", "seconds"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_a_window_that_would_let_nothing_through_is_no_window(limit: int, seconds: int) -> None:
    with pytest.raises(ValueError, match="at least one call"):
        RateWindow(limit, timedelta(seconds=seconds))

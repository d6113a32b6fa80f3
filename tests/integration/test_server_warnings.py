"""A server that would lose what was accepted is told of before it does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from pushledger.cli import cli
from pushledger.ledger import Ledger, LedgerPolicy
from pushledger.ledger.server import server_warnings
from pushledger_worker.embedded import embedded_valkey


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    """A server of its own, as its settings are changed."""
    with embedded_valkey(tmp_path) as url:
        yield url


def test_the_embedded_server_keeps_what_was_accepted(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Append-only file on, nothing evicted: no warning, and status 0."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", server_url)
    result = CliRunner().invoke(cli, ["check"])
    assert (result.exit_code, result.output.count("\n")) == (0, 1)


@pytest.mark.parametrize(
    ("name", "value"), [("appendonly", "no"), ("appendfsync", "no"), ("maxmemory-policy", "allkeys-lru")]
)
def test_each_setting_that_loses_messages_is_named(server_url: str, name: str, value: str) -> None:
    """With its value and the way out."""
    with redis.Redis.from_url(server_url) as client:
        client.config_set(name, value)
    ledger = Ledger.from_url(server_url, "default", LedgerPolicy(), timedelta(seconds=1))
    (warning,) = ledger.server_warnings()
    ledger.close()
    assert warning.startswith(name)
    assert f"set {name}" in warning


def test_a_server_that_refuses_to_tell_is_said_so(server_url: str) -> None:
    """Managed servers refuse CONFIG: not knowing is no all-clear."""
    with redis.Redis.from_url(server_url) as client:
        client.execute_command("ACL", "SETUSER", "shop", "on", ">word", "~*", "+@all", "-config")
    url = server_url.replace("redis://", "redis://shop:word@")
    ledger = Ledger.from_url(url, "default", LedgerPolicy(), timedelta(seconds=1))
    assert ledger.server_warnings() == server_warnings({})
    ledger.close()

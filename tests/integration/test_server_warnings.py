"""A server that would lose what was accepted is told of before it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from pushledger import Messages
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
    with Messages.from_env() as messages:
        assert messages.server_warnings() == []


def checks(monkeypatch: pytest.MonkeyPatch, url: str) -> dict[str, dict[str, str]]:
    """What `pushledger check` finds, by name; no worker is there, so it ends with 1."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", url)
    monkeypatch.setenv("PUSHLEDGER_API_KEY", "")
    result = CliRunner().invoke(cli, ["check", "--wait", "100ms", "--json"])
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)
    return {found["name"]: found for found in document["checks"]}


def test_check_finds_the_embedded_server_in_order(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = checks(monkeypatch, server_url)
    assert {name: one["outcome"] for name, one in found.items()} == {
        **dict.fromkeys(("server", "persistence", "eviction", "memory", "clock", "broker", "versions"), "ok"),
        "worker": "failed",
        **dict.fromkeys(("api key", "outbox"), "skipped"),
    }
    assert found["server"]["sentence"].startswith("valkey ")
    assert "none ever did" in found["worker"]["sentence"]


def test_check_tells_each_setting_of_a_server_and_the_way_out(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis.Redis.from_url(server_url) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("appendonly", "no")
        client.config_set("maxmemory", round(used * 1.15))
        client.config_set("maxmemory-policy", "allkeys-lru")
    found = checks(monkeypatch, server_url)
    assert {name: found[name]["outcome"] for name in ("persistence", "eviction", "memory")} == {
        "persistence": "warning",
        "eviction": "failed",
        "memory": "warning",
    }
    assert "set appendonly yes" in found["persistence"]["sentence"]
    assert "set maxmemory-policy noeviction" in found["eviction"]["sentence"]
    assert "raise maxmemory" in found["memory"]["sentence"]


def test_check_says_what_a_server_refuses_to_tell(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis.Redis.from_url(server_url) as client:
        client.execute_command("ACL", "SETUSER", "shop", "on", ">word", "~*", "+@all", "-config", "-info")
    found = checks(monkeypatch, server_url.replace("redis://", "redis://shop:word@"))
    silent = {name for name, one in found.items() if "does not tell" in one["sentence"]}
    assert silent == {"server", "persistence", "eviction", "memory"}
    assert {found[name]["outcome"] for name in silent} == {"warning"}
    assert "word" not in json.dumps(found)


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

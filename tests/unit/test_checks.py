"""Each check by itself: when it is content, when not, and the way out."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from pushledger import AsyncMessages, Settings, checks, own_checks
from pushledger.checks import Check, checks_of_others
from pushledger.cli import cli
from pushledger.ledger.server import ServerFacts, read_facts
from pushledger.own_checks import (
    check_broker,
    check_clock,
    check_eviction,
    check_memory,
    check_persistence,
    check_server,
    check_versions,
)
from pushledger_worker.answer import Answer, Answered, Dropped, NotSent, Unanswered
from pushledger_worker.checks import read_answer

MIB = 2**20


def test_a_replica_is_no_place_for_the_ledger() -> None:
    """It answers all that is asked, and refuses all that is written."""
    told = {"redis_version": "7.2.4", "role": "slave", "master_host": "10.0.0.7", "master_port": 6379}
    found = check_server(read_facts(told, {}))
    assert found.outcome == "failed"
    assert "a replica of 10.0.0.7:6379" in found.sentence
    assert "PUSHLEDGER_REDIS_URL" in found.sentence
    assert check_server(read_facts(told | {"role": "master"}, {})).outcome == "ok"


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("rediss://redis.example.org:6380/0?ssl_cert_reqs=none", "warning"),
        ("sentinels://one:26380,two:26380/main/0?ssl_cert_reqs=CERT_NONE", "warning"),
        ("rediss://redis.example.org:6380/0?ssl_ca_certs=/ca.pem", "ok"),
        ("redis://redis.example.org/0?ssl_cert_reqs=none", "ok"),
    ],
)
def test_a_certificate_that_nobody_checks_is_told(url: str, outcome: str) -> None:
    assert check_server(facts(), url).outcome == outcome


def facts(version: str = "9.0.1", used: int | None = MIB, limit: int | None = 0) -> ServerFacts:
    return ServerFacts("valkey", version, version, used, limit, {})


@pytest.mark.parametrize(
    ("version", "outcome"),
    [("6.2.0", "ok"), ("10.0", "ok"), ("7.2.4-rc1", "ok"), ("6.0.16", "failed"), ("5.0", "failed"), ("", "warning")],
)
def test_the_server_must_be_6_2_or_newer(version: str, outcome: str) -> None:
    assert check_server(facts(version)).outcome == outcome


@pytest.mark.parametrize(
    ("used", "limit", "outcome"),
    [(79, 100, "ok"), (80, 100, "warning"), (95, 100, "failed"), (99, 0, "ok"), (99, None, "ok"), (None, 1, "warning")],
)
def test_memory_near_its_limit_is_told(used: int | None, limit: int | None, outcome: str) -> None:
    assert check_memory(facts(used=used, limit=limit)).outcome == outcome


def test_a_server_names_itself_and_what_it_is_compatible_with() -> None:
    valkey = read_facts({"server_name": "valkey", "valkey_version": "9.0", "redis_version": "7.2.4"}, {})
    assert (valkey.name, valkey.version, valkey.redis_version) == ("valkey", "9.0", "7.2.4")
    redis = read_facts({"redis_version": "7.4.1", "used_memory": 5, "maxmemory": 7}, {})
    assert (redis.name, redis.version, redis.memory_used, redis.memory_limit) == ("redis", "7.4.1", 5, 7)


@pytest.mark.parametrize(
    ("config", "persistence", "eviction"),
    [
        ({"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}, "ok", "ok"),
        ({"appendonly": "no", "appendfsync": "no", "maxmemory-policy": "volatile-lru"}, "warning", "failed"),
        ({"appendonly": "yes", "appendfsync": "no", "maxmemory-policy": "noeviction"}, "warning", "ok"),
        ({}, "warning", "warning"),
    ],
)
def test_what_a_server_is_set_to(config: dict[str, str], persistence: str, eviction: str) -> None:
    assert (check_persistence(config).outcome, check_eviction(config).outcome) == (persistence, eviction)


@pytest.mark.parametrize(
    ("seconds", "outcome", "said"),
    [
        (0.0, "ok", "differ by 0.0 s"),
        (-5.0, "ok", "differ by 5.0 s"),
        (5.1, "warning", "5.1 s ahead of this machine"),
        (-3600, "warning", "3600.0 s behind this machine"),
    ],
)
def test_clocks_that_differ_are_told_with_the_reason_why_it_matters(seconds: float, outcome: str, said: str) -> None:
    check = check_clock(timedelta(seconds=seconds))
    assert check.outcome == outcome
    assert said in check.sentence
    assert ("not_before" in check.sentence) == check.is_trouble


def test_the_celery_that_dies_in_an_outage_is_refused() -> None:
    assert check_versions({"celery": "5.6.3"}, facts()).outcome == "ok"
    bad = check_versions({"celery": "5.7.0"}, None)
    assert (bad.outcome, "install another version of celery" in bad.sentence) == ("failed", True)
    assert "valkey 9.0.1" in check_versions({}, facts()).sentence


def test_a_broker_that_is_away_is_told_without_its_password() -> None:
    check = check_broker("redis://:pa55word@127.0.0.1:1/1")
    assert (check.outcome, "PUSHLEDGER_BROKER_URL" in check.sentence) == ("failed", True)
    assert "pa55word" not in check.sentence


def test_an_error_that_quotes_the_password_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(broker_url: str) -> str:
        raise ValueError(f"no such host in {broker_url}")

    monkeypatch.setattr(own_checks, "reach_broker", refuse)
    check = check_broker("amqp://shop:pa55word@rabbit//")
    assert "no such host in amqp://shop:**@rabbit//" in check.sentence


def test_a_broker_that_answers_is_named_without_its_password(valkey_url: str) -> None:
    check = check_broker(valkey_url[:-1] + "1")
    assert check.outcome == "ok"
    assert "pa55word" not in check_broker("memory://user:pa55word@host//").sentence
    outside = check_broker(valkey_url[:-1] + "9999")
    assert (outside.outcome, "out of range" in outside.sentence) == ("failed", True)


@pytest.mark.parametrize(
    ("answer", "outcome", "said"),
    [
        (Answered(404, {}, {}), "ok", "accepts"),
        (Answered(200, {}, {}), "ok", "accepts"),
        (Answered(401, {}, {}), "failed", "PUSHLEDGER_API_KEY"),
        (Answered(403, {}, {}), "failed", "refuses the account (403)"),
        (Answered(404, {}, {}, is_html=True), "failed", "PUSHLEDGER_API_URL"),
        (Answered(302, {}, {}), "failed", "PUSHLEDGER_API_URL"),
        (Answered(429, {}, {}), "warning", "429"),
        (Answered(503, {}, {}), "failed", "in trouble (503)"),
        (NotSent("ConnectError: refused"), "failed", "PUSHLEDGER_API_URL"),
        (Unanswered("no answer in time"), "failed", "no answer in time"),
        (Dropped(), "skipped", "run it again"),
    ],
)
def test_what_an_answer_says_of_the_key(answer: Answer, outcome: str, said: str) -> None:
    check = read_answer(answer)
    assert check.outcome == outcome
    assert said in check.sentence


# ---------------------------------------------------------------- the checks of other packages


def others(monkeypatch: pytest.MonkeyPatch, *parts: EntryPoint) -> list[Check]:
    monkeypatch.setattr(checks, "entry_points", lambda group: parts if group == "pushledger.checks" else ())

    async def run() -> list[Check]:
        async with AsyncMessages(Settings(broker_url="memory://")) as messages:
            return await checks_of_others(messages)

    return asyncio.run(run())


async def content(messages: AsyncMessages) -> Check:
    return Check("own", "ok", messages.settings.account)


async def broken(messages: AsyncMessages) -> Check:
    raise ValueError("of its own")


def needs_a_package(name: str) -> object:
    raise ModuleNotFoundError("No module named 'no_such_package'", name="no_such_package")


def test_checks_come_from_entry_points_and_one_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "their_checks", sys.modules[__name__])
    lacking = ModuleType("lacking")
    lacking.__dict__["__getattr__"] = needs_a_package
    monkeypatch.setitem(sys.modules, "lacking", lacking)
    found = others(
        monkeypatch,
        EntryPoint("z_own", "their_checks:content", "pushledger.checks"),
        EntryPoint("its_own", "their_checks:broken", "pushledger.checks"),
        EntryPoint("extra", "lacking:check [worker]", "pushledger.checks"),
    )
    assert [(check.name, check.outcome) for check in found] == [
        ("extra", "skipped"),
        ("its own", "failed"),
        ("own", "ok"),
    ]
    assert found[0].sentence == "needs: pip install 'pushledger[worker]'"
    assert "ValueError: of its own" in found[1].sentence


def test_without_a_server_the_rest_is_still_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("PUSHLEDGER_API_KEY", "a-key-of-the-tests")
    result = CliRunner().invoke(cli, ["check", "--json"])
    document: Any = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (1, False)
    found = {check["name"]: check["outcome"] for check in document["checks"]}
    skipped = {"api key": "skipped", "outbox": "skipped"}
    assert found == {"server": "failed", "broker": "failed", "versions": "ok", **skipped}
    assert "a-key-of-the-tests" not in result.output

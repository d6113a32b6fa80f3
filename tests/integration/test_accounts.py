"""Several accounts on one server: which are known, which are due, who serves them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from pushledger import AsyncMessages, Messages, Settings
from pushledger.cli import cli
from pushledger.errors import SettingsError
from pushledger.jobs import Create
from pushledger.ledger import Accounts, AsyncAccounts, Budget, LedgerPolicy, Question, RateWindow
from pushledger.ledger.keys import ACCOUNTS, Keys
from pushledger.publisher import Publisher
from pushledger_worker.intake import AccountLedgers, Intake
from pushledger_worker.settings import WorkerSettings
from pushledger_worker.tick import _Looker

ORDER = {"visitor_id": "v", "text": "Order received", "agent_id": "a"}
POLICY = LedgerPolicy()


@pytest.fixture
def settings(valkey_url: str, account: str) -> Settings:
    return Settings(redis_url=valkey_url, broker_url="memory://", account=account)


@pytest.fixture
def accounts(valkey_url: str) -> Iterator[Accounts]:
    opened = Accounts.from_url(valkey_url, timedelta(seconds=1))
    yield opened
    opened.close()


def worker(settings: Settings, root: Path, *names: str) -> WorkerSettings:
    """A worker of these accounts."""
    for name in names:
        (root / name).mkdir()
        (root / name / "api_key").write_text("a-key-of-the-tests", encoding="utf-8")
    return WorkerSettings(redis_url=settings.redis_url, broker_url="memory://", accounts_dir=root, rate="off")


def question(account: str, *windows: RateWindow) -> Question:
    nothing = {"signals": 0, "lease": timedelta(minutes=1), "overdue_after": timedelta(0)}
    return Question(account=account, policy=POLICY, budget=Budget(windows), **nothing)


def test_an_account_named_in_code_has_a_ledger_of_its_own(settings: Settings) -> None:
    with Messages(settings) as home, Messages(settings, account=f"{settings.account}-fr") as fr:
        home.create("order:1", **ORDER)
        assert fr.get("order:1") is None
        fr.create("order:1", **{**ORDER, "text": "Commande reçue"})
        assert (fr.settings.account, fr.account().waiting, home.account().waiting) == (f"{settings.account}-fr", 1, 1)


def test_an_account_named_in_code_awaits_as_well(settings: Settings, accounts: Accounts) -> None:
    name = f"{settings.account}-fr"

    async def scene() -> None:
        async with AsyncMessages(settings, account=name) as fr:
            await fr.create("order:1", **ORDER)

    asyncio.run(scene())
    assert accounts.ledger(name, POLICY).get(["order:1"])[0] is not None
    assert accounts.ledger(settings.account, POLICY).get(["order:1"]) == [None]


@pytest.mark.parametrize("name", ["", "f r", "fr}", "..", ".fr", "é", "a" * 65, "fr\n"])
def test_a_name_that_is_none_is_refused_at_the_door(settings: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match="account: must be"):
        Messages(settings, account=name)


def test_accounts_are_known_from_their_first_job_or_worker_on(
    settings: Settings, accounts: Accounts, tmp_path: Path, real_client: redis.Redis
) -> None:
    fr, de = f"{settings.account}-fr", f"{settings.account}-de"
    with Messages(settings, account=fr) as messages:
        messages.get("order:1")
        assert fr not in accounts.known(), "to look is not to use"
        messages.create("order:1", **ORDER)
    assert fr in accounts.known()
    looker = _Looker(worker(settings, tmp_path, de))
    looker.look()
    assert de in accounts.known()
    looker.close()
    assert real_client.type(ACCOUNTS) == "set"


def test_a_look_tells_each_account_its_own(settings: Settings, accounts: Accounts) -> None:
    names = [f"{settings.account}-{n}" for n in range(4)]
    due, paused, spent, idle = names
    for name in (due, paused, spent):
        accounts.ledger(name, POLICY).record([Create("order:1", "v", "text", agent_id="a")])
    accounts.ledger(paused, POLICY).pause(timedelta(minutes=1), "by hand")
    accounts.ledger(paused, POLICY).park("task", "{}")
    window = RateWindow(1, timedelta(minutes=1))
    ledger = accounts.ledger(spent, POLICY)
    ledger.record([Create("order:2", "v", "text", agent_id="a")])
    questions = [question(due), question(paused), question(spent, window), question(idle)]
    # The records took the first wake-up upon themselves; it is over, as if it had been lost.
    for name in names:
        accounts._connection._client.delete(Keys(name).wake)
    found = accounts.look("tick-1", questions)
    assert {name: looked.wake for name, looked in found.items()} == {due: True, paused: False, spent: True, idle: False}
    assert [looked.parked for looked in found.values()] == [0, 1, 0, 0]


def test_what_is_due_is_told_although_a_wake_up_waits_in_a_queue(settings: Settings, accounts: Accounts) -> None:
    """A round begins such a shift itself: every process may be busy, and the wake-up behind the others."""
    fr, de = f"{settings.account}-fr", f"{settings.account}-de"
    accounts.ledger(fr, POLICY).record([Create("order:1", "v", "text", agent_id="a")])

    async def scene() -> None:
        together = AsyncAccounts.from_url(settings.redis_url, timedelta(seconds=1))
        asked = dict.fromkeys((fr, de), (POLICY, Budget()))
        assert await together.due("round-1", asked) == [fr]
        assert await together.due("round-2", asked) == [fr], "still, until somebody claims it"
        await together.close()

    asyncio.run(scene())


def test_an_account_that_no_worker_serves_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message for a name with a typing error would wait for ever, and nobody would know why."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("PUSHLEDGER_BROKER_URL", "memory://")
    name = f"{settings.account}-fr"
    run = CliRunner().invoke
    done = run(cli, ["create", "order:1", "--visitor", "v", "--text", "t", "--agent", "a", "--account", name])
    assert done.exit_code == 0, done.output
    said = run(cli, ["status", "--account", name]).output
    assert "none ever served this account" in said
    with Messages(settings, account=name) as messages:
        assert not messages.account().is_looked_after
        looker = _Looker(worker(settings, tmp_path, name))
        looker.look()
        looker.close()
        assert messages.account().is_looked_after
    assert "served this account" not in run(cli, ["status", "--account", name]).output
    document = json.loads(run(cli, ["status", "--account", name, "--json"]).output)
    assert (document["account"], document["looked_after"], document["counts"]["queued"]) == (name, True, 1)


def test_an_account_is_alone_when_its_last_sample_is_old(settings: Settings, real_client: redis.Redis) -> None:
    key = Keys(settings.account).history
    with Messages(settings) as messages:
        for age, is_looked_after in ((100, True), (200, False)):
            real_client.delete(key)
            real_client.rpush(key, f"{round((time.time() - age) * 1000)} jobs=1")
            assert messages.account().is_looked_after is is_looked_after


def test_the_command_line_refuses_a_name_that_is_none(settings: Settings) -> None:
    done = CliRunner().invoke(cli, ["status", "--account", "f r"])
    assert done.exit_code == 2
    assert "--account" in done.output


@pytest.fixture
def intake(settings: Settings, accounts: Accounts) -> tuple[Intake, list[str]]:
    woken: list[str] = []
    served = {settings.account, f"{settings.account}-fr"}
    ledgers = AccountLedgers(accounts, settings.account, POLICY, lambda: served)
    return Intake(ledgers, woken.append, lambda: False, timedelta(seconds=60)), woken


def test_an_enqueued_job_goes_to_the_account_it_names(
    settings: Settings, accounts: Accounts, intake: tuple[Intake, list[str]]
) -> None:
    take, woken = intake[0].take, intake[1]
    fr = f"{settings.account}-fr"
    take("create", "task-1", {"local_id": "order:1", "account": fr, **ORDER})
    take("create", "task-2", {"local_id": "order:2", **ORDER})
    assert accounts.ledger(fr, POLICY).get(["order:1", "order:2"])[1] is None
    assert accounts.ledger(settings.account, POLICY).get(["order:1", "order:2"])[0] is None
    assert woken == [fr, settings.account]


@pytest.mark.parametrize("name", ["nobody", "f r", 7, "", ["fr"]])
def test_an_enqueued_job_of_an_account_that_is_not_served_is_kept_as_refused(
    settings: Settings, accounts: Accounts, intake: tuple[Intake, list[str]], name: object
) -> None:
    intake[0].take("create", "task-1", {"local_id": "order:1", "account": name, **ORDER})
    (document,) = accounts.ledger(settings.account, POLICY).refused(10)
    refused = json.loads(document)
    assert (refused["field"], refused["local_id"]) == ("account", "order:1")
    assert refused["rule"].startswith("must be one that this worker serves")
    assert ORDER["text"] not in document


def test_a_parked_job_comes_back_in_its_account(
    settings: Settings,
    accounts: Accounts,
    intake: tuple[Intake, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fr = f"{settings.account}-fr"
    intake[0].take("update", "task-1", {"local_id": "order:1", "account": fr, "text": "Shipped", "version": 2})
    ledger, sent = accounts.ledger(fr, POLICY), list[tuple[str, dict[str, str]]]()
    monkeypatch.setattr(Publisher, "send", lambda _, task, queue, values: sent.append((task, values)))
    looker = _Looker(worker(settings, tmp_path, fr, settings.account))
    looker.look()
    looker.close()
    assert sent == [("pushledger.unpark", {"account": fr})]
    intake[0].take("create", "task-2", {"local_id": "order:1", "account": fr, **ORDER, "version": 1})
    intake[0].take_parked(fr)
    (found,) = ledger.get(["order:1"])
    assert found is not None
    assert (found.revision, ledger.parked_count()) == (2, 0)


def test_fifty_idle_accounts_are_one_round_trip(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{settings.account}-{n}" for n in range(50)]
    looker = _Looker(worker(settings, tmp_path, *names))
    looker.look()
    sent: list[int] = []
    monkeypatch.setattr(
        redis.connection.Connection,
        "send_packed_command",
        lambda self, command, *a, send=redis.connection.Connection.send_packed_command, **k: (
            sent.append(1),
            send(self, command, *a, **k),
        )[1],
    )
    looker.look()
    assert len(sent) == 1
    looker.close()

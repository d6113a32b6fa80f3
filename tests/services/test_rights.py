"""The rights that the page of Redis lists are enough, and none of the ledger's can be taken away."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from acceptance.conftest import Sandbox, Valkey
from celery import Celery
from celery.exceptions import Reject
from pushledger import Messages, Settings
from pushledger.broker import DELIVER_QUEUE
from pushledger.errors import LedgerUnavailable
from pushledger_worker.settings import WorkerSettings
from services.everything import Everything
from services.redis_server import RedisServer

if TYPE_CHECKING:
    from conftest import WaitUntil
    from services.conftest import StageOn

ROOT = Path(__file__).parents[2]
LINES = re.findall(r"^user (\S+) on >\S+ (.*)$", (ROOT / "docs" / "redis.md").read_text(encoding="utf-8"), re.MULTILINE)
RULES = {name: rules.split() for name, rules in LINES}
LEDGER, SHOPS, WORKERS = "pushledger", "broker-of-shops", "broker-of-workers"
# What is only asked where it is allowed, and what only another database needs.
TOLERATED = {"+info", "+config|get", "+select"}
NEEDED = [rule for rule in RULES[LEDGER] if rule.startswith("+") and rule not in TOLERATED]


class Guarded(RedisServer):
    """A server whose users have the rights of the page, and whose URLs name them."""

    def let(self, name: str, *more: str, account: str = "default") -> None:
        """Give a user the listed rights, and then more or fewer."""
        rules = [rule.replace("{default}", f"{{{account}}}") for rule in RULES[name]]
        with self.client() as client:
            client.execute_command("ACL", "SETUSER", name, "reset", "on", ">pw", *rules, *more)

    def url_of(self, name: str, database: int = 0) -> str:
        """The URL of a user."""
        return self.addressed(database, user=f"{name}:pw")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = Guarded(tmp_path_factory.mktemp("guarded"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def everything(guarded: Guarded, _servers: tuple[Valkey, Sandbox], tmp_path: Path) -> Everything:
    """All that can be done, in a new account, on a server that knows no script yet."""
    _, sandbox = _servers
    sandbox.reset("off")
    account = f"account-{secrets.token_hex(4)}"
    with guarded.client() as client:
        client.flushall()
        client.script_flush()
    guarded.let(LEDGER, account=account)
    settings = WorkerSettings(
        redis_url=guarded.url_of(LEDGER),
        broker_url=guarded.url(1),
        account=account,
        api_key="a-key-of-the-tests",
        api_url=sandbox.url,
        shift=timedelta(seconds=0.1),
        settle_delay=timedelta(0),
        backoff_first=timedelta(0),
        retention=timedelta(hours=1),
    )
    return Everything(settings, sandbox, tmp_path)


def test_the_listed_rights_of_the_ledger_are_enough_for_everything(everything: Everything) -> None:
    everything.run()


@pytest.mark.parametrize("right", NEEDED)
def test_without_one_of_them_something_fails_and_says_which(
    guarded: Guarded, everything: Everything, caplog: pytest.LogCaptureFixture, right: str
) -> None:
    command = right.removeprefix("+")
    guarded.let(LEDGER, f"-{command}", account=everything.account)
    said = ""
    try:
        everything.run()
    except (AssertionError, LedgerUnavailable, Reject) as error:
        said = str(error)
    assert re.search(rf"may not run (\w+ or )*{re.escape(command.upper())}\b", said + caplog.text)


@pytest.mark.parametrize("rule", ["+info", "+config|get"])
def test_what_is_only_asked_where_it_is_allowed_is_missed_by_the_check(
    guarded: Guarded, everything: Everything, rule: str
) -> None:
    guarded.let(LEDGER, rule.replace("+", "-"), account=everything.account)
    with pytest.raises(AssertionError, match="does not tell it"):
        everything.run()


def test_keys_of_another_account_are_out_of_reach(guarded: Guarded) -> None:
    guarded.let(LEDGER, account="shop")
    settings = Settings(redis_url=guarded.url_of(LEDGER), account="other", broker_url="memory://")
    with Messages(settings) as messages, pytest.raises(LedgerUnavailable, match="may not touch the account's keys"):
        messages.create("order:1", visitor_id="v", agent_id="a", text="a text that is not told")


def test_workers_deliver_with_the_listed_rights(guarded: Guarded, stage_on: StageOn, wait_until: WaitUntil) -> None:
    """Wake-ups and the intake; the health check of a container; a task that a killed worker had in its hands."""
    stage = stage_on(guarded)
    guarded.let(LEDGER, account=stage.account)
    guarded.let(SHOPS)
    guarded.let(WORKERS)
    urls = {"REDIS_URL": guarded.url_of(LEDGER), "BROKER_URL": guarded.url_of(WORKERS, 1)}
    first = stage.worker(**{**urls, "REDIS_URL": "redis://127.0.0.1:1/0"})
    with Celery("shop", broker=guarded.url_of(SHOPS, 1), set_as_current=False) as shop:
        values = {"local_id": "order:1", "visitor_id": "visitor-1", "agent_id": "a", "text": "Order received"}
        shop.send_task("pushledger.create", kwargs=values, queue="pushledger.intake")
    wait_until(lambda: "intake waits" in first.text(), 10, "the task is begun")
    first.kill()
    with guarded.client(1) as client:
        client.zadd("unacked_index", dict.fromkeys(client.zrange("unacked_index", 0, -1), 0))
    worker = stage.worker(TICK="1h", **urls)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 20, "it is handed out again")
    settings = Settings(redis_url=guarded.url_of(LEDGER), account=stage.account, broker_url=guarded.url_of(SHOPS, 1))
    with Messages(settings) as messages:
        messages.create("order:2", visitor_id="visitor-2", agent_id="a", text="Order received")
    wait_until(lambda: stage.sandbox.seen_by("visitor-2") == ["Order received"], 10, "a wake-up comes through")
    worker.terminate()
    assert worker.ends(20) == 0
    assert "permissions" not in worker.text()


@pytest.mark.parametrize("right", [rule for rule in RULES[SHOPS] if rule.startswith("+")])
def test_without_one_of_a_shops_rights_at_the_broker_no_wake_up_is_sent(
    guarded: Guarded, caplog: pytest.LogCaptureFixture, account: str, right: str
) -> None:
    """The job is recorded all the same."""
    with guarded.client() as client:
        client.flushall()
    guarded.let(SHOPS, right.replace("+", "-"))
    settings = Settings(redis_url=guarded.url(), account=account, broker_url=guarded.url_of(SHOPS, 1))
    with Messages(settings) as messages:
        messages.create("order:1", visitor_id="v", agent_id="a", text="A")
    with guarded.client(1) as client:
        assert client.llen(DELIVER_QUEUE) == 0
    assert right.removeprefix("+").upper() in caplog.text.upper()

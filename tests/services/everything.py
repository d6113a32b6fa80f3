"""All that pushledger does with its ledger, in one process: every verb, a delivery, an intake, the dashboard."""

from __future__ import annotations

import asyncio
import functools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from acceptance.conftest import Sandbox
from click.testing import CliRunner
from pushledger import Create, Messages, Update
from pushledger.cli import cli
from pushledger.ledger import Accounts, AsyncLedger
from pushledger.ledger.connection import AsyncConnection
from pushledger_dashboard.app import create_app
from pushledger_dashboard.settings import DashboardSettings
from pushledger_worker.intake import AccountLedgers, Intake
from pushledger_worker.process import Process
from pushledger_worker.settings import WorkerSettings
from pushledger_worker.tick import _Looker

__all__ = ["Everything"]


class Everything:
    """Does it all in the account of some settings; raises at the first thing that goes wrong."""

    def __init__(self, settings: WorkerSettings, sandbox: Sandbox, folder: Path) -> None:
        self._settings, self._sandbox, self._folder = settings, sandbox, folder
        values = {
            "REDIS_URL": settings.redis_url,
            "BROKER_URL": settings.broker_url,
            "ACCOUNT": settings.account,
            "API_URL": settings.api_url,
            "API_KEY": "a-key-of-the-tests",
            "RATE": "1000/hour",
            "RETENTION": "1h",
        }
        self._environment = {f"PUSHLEDGER_{name}": value for name, value in values.items()}
        self._process: Process | None = None

    @property
    def account(self) -> str:
        """The account it is done in."""
        return self._settings.account

    def run(self) -> None:
        """Do it all once."""
        try:
            self._jobs()
            self._deliveries()
            self._decisions()
            self._intake()
            self._rest()
            asyncio.run(self._dashboard())
            self._probe()
        finally:
            if self._process is not None:
                self._process.runner.run(self._process.accounts.close())
                for client in self._process.clients.values():
                    self._process.runner.run(client.api.close())
                self._process.runner.close()
                self._process.wake_ups.close()
                self._process = None

    def say(self, *arguments: str, status: int = 0) -> str:
        """Run a verb; what it printed."""
        done = CliRunner().invoke(cli, arguments, env=self._environment)
        if done.exit_code != status:
            raise AssertionError(f"pushledger {' '.join(arguments)}: {done.output} {done.exception!r}")
        return done.output

    def _create(self, local_id: str, *options: str) -> None:
        self.say("create", local_id, "--visitor", f"v-{local_id}", "--agent", "a", "--text", "A", *options)

    def _jobs(self) -> None:
        self._create("early", "--not-before", "2050-01-01T00:00:00Z", "--expires-at", "2051-01-01T00:00:00Z")
        self._create("one", "--job-id", "j")
        self._create("one", "--job-id", "j")
        self.say("update", "one", "--text", "B", "--version", "2")
        self.say("update", "nobody", "--text", "B", status=2)
        self.say("upsert", "two", "--visitor", "v", "--group", "g", "--text", "A", "--priority", "high")
        self.say("delete", "two")
        with Messages(self._settings) as messages:
            messages.submit([Create("three", "v-one", "A", agent_id="a"), Update("three", "B"), Update("nobody", "B")])
            messages.stats(), messages.message_id("one"), messages.server_warnings()

    def _deliver(self) -> None:
        if self._process is None:
            self._process = Process.start(self._settings)
        self._process.work_a_shift(self.account, lambda: False)

    def _deliveries(self) -> None:
        self._deliver()
        assert self._sandbox.seen_by("v-one") == ["B", "B"]
        self.say("update", "one", "--text", "C")
        self.say("delete", "three")
        self._deliver()

    def _decisions(self) -> None:
        self._sandbox.fault("refused", times=3)
        for local_id in ("failed-1", "failed-2", "failed-3"):
            self._create(local_id)
        self._deliver()
        self.say("retry", "failed-1", "--why", "w")
        self.say("retry", "--all-state", "failed", "--limit", "1", "--yes")
        self.say("discard", "--all-state", "failed", "--yes")
        self._deliver()
        self._sandbox.fault("error_before", methods=["POST"], times=2)
        for local_id in ("held-1", "held-2"):
            self._create(local_id, "--max-resends", "0")
        self._deliver()
        self._deliver()
        self.say("resend", "held-1")
        self.say("resolve", "held-2", "--message-id", "x")
        self._deliver()
        self.say("pause", "--for", "1m")
        self.say("resume")

    def _intake(self) -> None:
        settings = self._settings
        accounts = Accounts.from_url(settings.redis_url, settings.redis_timeout)
        looker = _Looker(settings)
        try:
            self._take_in(AccountLedgers(accounts, self.account, settings.policy(), lambda: [self.account]))
            looker.look()
            looker.look()
            assert accounts.known() == [self.account]
        finally:
            looker.close()
            accounts.close()

    def _take_in(self, ledgers: AccountLedgers) -> None:
        intake = Intake(ledgers, lambda _: None, lambda: True, timedelta(seconds=60))
        intake.take("update", "task-1", {"local_id": "parked", "text": "A", "version": 1}, ())
        intake.take("create", "task-2", {"local_id": "bad"}, ())
        self._create("parked", "--version", "0")
        intake.take_parked(self.account)
        assert ledgers.of(self.account).parked_count() == 0

    def _rest(self) -> None:
        for state in ("queued", "sending", "retrying", "delivered", "deleted", "held", "failed", "expired", "refused"):
            self.say("list", "--state", state)
        self.say("show", "one")
        self.say("status")
        checked = json.loads(self.say("check", "--wait", "0s", "--json", status=1))["checks"]
        told = {check["name"]: check["outcome"] for check in checked}
        assert [told[name] for name in ("server", "persistence", "eviction", "memory", "broker")] == ["ok"] * 5, checked
        self._deliver()
        self.say("verify", "one", "--wait", "2s")
        self.say("verify", "--all-state", "delivered", "--repair", "--calls", "2", "--wait", "2s")
        self.say("presence", "online", "a", "--for", "1h")
        self._deliver()
        self.say("presence", "list")
        self.say("presence", "offline", "a")
        self.say("adopt", "adopted", "--message-id", "y", "--visitor", "v", "--agent", "a", "--text", "A")
        file = str(self._folder / "map.jsonl")
        self.say("export", file)
        self.say("forget", "adopted", "--yes")
        self.say("forget", "--visitor", "v-one", "--yes")
        self.say("import", file)

    def _probe(self) -> None:
        """An account in trouble is probed by a read of some message; a day later, that the wait is over."""
        self._sandbox.fault("unauthorized")
        self._create("probe")
        self._deliver()
        assert "paused" in self.say("status")
        settings = self._settings
        later = round((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000)
        connection = AsyncConnection.from_url(settings.redis_url, settings.redis_timeout)
        ledger = AsyncLedger(connection, settings.account, settings.policy(), now=later)

        async def claim() -> None:
            try:
                await ledger.claim("a-claim", 1, settings.lease, settings.budget)
            finally:
                await ledger.close()

        asyncio.run(claim())

    async def _dashboard(self) -> None:
        settings = DashboardSettings(
            redis_url=self._settings.redis_url, broker_url=self._settings.broker_url, account=self._settings.account
        )
        app = create_app(settings)
        asking = functools.partial(httpx.AsyncClient, base_url="http://localhost")
        asked = ("overview", "history", "audit", "refused", "check", "messages?state=delivered", "message?local_id=two")
        searches = ("prefix&q=o", "visitor_id&q=v-parked", "message_id&q=x")
        pages = ["/", "/messages", "/audit", "/account", "/metrics", *(f"/v1/{path}" for path in asked)]
        pages += [f"/v1/search?by={search}" for search in searches]
        pages += ["/v1/message/waits?local_id=early", "/v1/bulk?action=retry&state=failed"]
        async with app.router.lifespan_context(app), asking(transport=httpx.ASGITransport(app)) as client:
            for page in pages:
                answer = await client.get(page)
                assert answer.status_code < 400, f"{page}: {answer.text}"
            page = "/v1/messages?state=delivered&limit=1"
            first = (await client.get(page)).json()
            second = await client.get(page, params={"state": "delivered", "limit": 1, "cursor": first["cursor"]})
            assert second.status_code == 200, second.text

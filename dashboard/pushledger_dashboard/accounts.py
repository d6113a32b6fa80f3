"""A desk for each account of the ledger."""

from __future__ import annotations

import time

from pushledger import AsyncMessages
from pushledger.ledger import AsyncAccounts

from pushledger_dashboard.desk import Desk
from pushledger_dashboard.events import Live
from pushledger_dashboard.overview import Overview
from pushledger_dashboard.problems import Problem
from pushledger_dashboard.readiness import Readiness
from pushledger_dashboard.settings import DashboardSettings

__all__ = ["Desks"]

KNOWN_FOR = 2.0


class Desks:
    """A desk for each account, opened when it is first asked for."""

    def __init__(self, settings: DashboardSettings, live: Live) -> None:
        self.home = settings.account
        self._settings = settings
        self._live = live
        self._accounts = AsyncAccounts.from_url(settings.redis_url, settings.redis_timeout)
        self._desks: dict[str, Desk] = {}
        self._known: list[str] = []
        self._read_at = float("-inf")

    async def of(self, account: str) -> Desk:
        """The desk of an account. Raises Problem when the ledger does not know it, or LedgerUnavailable."""
        if account not in self._desks:
            if account != self.home and account not in await self.names():
                raise Problem(404, f"account: {account} never had a job or a worker; is its name right?")
            self._desks.setdefault(account, self._open(account))
        return self._desks[account]

    async def names(self) -> list[str]:
        """All accounts that the ledger knows, and the settings' own first; at most some seconds old."""
        if time.monotonic() - self._read_at >= KNOWN_FOR:
            self._known = await self._accounts.known()
            self._read_at = time.monotonic()
        return [self.home, *(name for name in self._known if name != self.home)]

    def _open(self, account: str) -> Desk:
        settings = self._settings.of_account(account)
        messages = AsyncMessages(settings)
        return Desk(settings, messages, Overview(messages), Readiness(messages), self._live)

    async def close(self) -> None:
        """Close all connections."""
        for desk in self._desks.values():
            await desk.messages.close()
        await self._accounts.close()

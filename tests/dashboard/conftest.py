"""A dashboard over a real ledger, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import httpx
import pytest
import redis
from account import Account
from pushledger.ledger.keys import ACCOUNTS
from pushledger_dashboard.app import create_app
from pushledger_dashboard.settings import DashboardSettings

READ, OPERATE = "a-token-that-may-only-read", "a-token-that-may-do-everything"
TOKENS = f"eve:read:{READ},anna:operate:{OPERATE}"
Client: TypeAlias = httpx.AsyncClient
OpenDashboard: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_other_accounts(real_client: redis.Redis) -> None:
    """The accounts of other tests are on the same server, and a dashboard lists all that are known."""
    real_client.delete(ACCOUNTS)


@pytest.fixture
def settings(valkey_url: str, account: str) -> Callable[..., DashboardSettings]:
    """Settings of a dashboard for the test's account."""

    def made(**values: Any) -> DashboardSettings:
        return DashboardSettings(**{"redis_url": valkey_url, "account": account, "broker_url": "memory://", **values})

    return made


@pytest.fixture
def dashboard(settings: Callable[..., DashboardSettings]) -> OpenDashboard:
    """Opens a dashboard: `async with dashboard(**settings) as client`. By default without tokens, on loopback."""

    @asynccontextmanager
    async def opened(**values: Any) -> AsyncIterator[Client]:
        app = create_app(settings(**values))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            yield client

    return opened


@pytest.fixture
async def api(dashboard: OpenDashboard, anyio_backend: str) -> AsyncIterator[Client]:
    """A dashboard with tokens, asked by one that may do everything."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        client.headers["Authorization"] = f"Bearer {OPERATE}"
        yield client


@pytest.fixture
def ledger(real_client: redis.Redis, account: str) -> Account:
    """The same account's ledger, to bring messages into any state."""
    return Account(real_client, account, max_resends=0)

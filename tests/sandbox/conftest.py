"""A sandbox with a clock of its own, and ways to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from brevo_sandbox import Sandbox, create_app
from brevo_sandbox.testing import ManualClock

KEY = {"api-key": "test-key-0123456789"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sandbox(clock: ManualClock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def connect() -> Callable[[Sandbox], httpx.AsyncClient]:
    """A client for the application over any sandbox."""

    def connected(sandbox: Sandbox) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(create_app(sandbox))
        return httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=KEY)

    return connected


@pytest.fixture
async def api(
    sandbox: Sandbox, connect: Callable[[Sandbox], httpx.AsyncClient], anyio_backend: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(sandbox) as client:
        yield client

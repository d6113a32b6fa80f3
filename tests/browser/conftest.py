"""A shop with a worker, a sandbox and a dashboard, all real processes, and a person before a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
import pytest
from acceptance.conftest import Sandbox, Stage, Valkey, _servers
from browser.visit import Watch
from browser.waiting import awaited
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright
from pushledger.ledger.keys import Keys

__all__ = ["_servers"]

READ, OPERATE = "a-token-that-may-only-read", "a-token-that-may-do-everything"
TOKENS = {"read": READ, "operate": OPERATE}
# Without these it asks hosts of its maker for updates and the like.
_CHROMIUM_OPTIONS = ["--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"]

expect.set_options(timeout=10_000)
both_ways = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])


def start_dashboard(stage: Stage, **settings: str) -> str:
    """Start ``pushledger dashboard`` for a stage's account; its address."""
    tokens = f"eve:read:{READ},anna:operate:{OPERATE}"
    arguments = ["-m", "pushledger", "dashboard", "--port", "0"]
    process = stage.process(arguments, ready=False, DASHBOARD_TOKENS=tokens, **settings)

    def address() -> str | None:
        assert process.process.poll() is None, process.text()
        found = re.search(r"ready: (http://\S+)", process.text())
        return found and found[1]

    awaited(address, 30, "the dashboard is ready")
    return address() or ""


@pytest.fixture(scope="session")
def _processes(
    _servers: tuple[Valkey, Sandbox], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stage, str]]:
    with ExitStack() as stack:
        stage = Stage(*_servers, tmp_path_factory.mktemp("shop"), "shop", stack)
        worker = stage.worker(ready=False)
        address = start_dashboard(stage)
        awaited(worker.is_ready, 30, "the worker is ready")
        yield stage, address


@pytest.fixture
def shop(_processes: tuple[Stage, str]) -> Stage:
    """A shop without a message yet; its worker and its dashboard run."""
    stage, _ = _processes
    keys = Keys(stage.account)
    with stage.valkey.client() as client:
        # The processes keep the secret of the digests for as long as they run.
        gone = [key for key in client.scan_iter(f"{keys.prefix}*") if key != keys.digest_key]
        client.delete(*gone, "-")
    stage.sandbox.reset("off")
    return stage


@pytest.fixture(scope="session")
def address(_processes: tuple[Stage, str]) -> str:
    """Where the dashboard of the shop is."""
    return _processes[1]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser that CHROMIUM names."""
    path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    assert Path(path).exists(), f"there is no {path}: make test-browser brings it, or says how"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def _logged_in(address: str) -> dict[str, StorageState]:
    return {role: _session(address, token) for role, token in TOKENS.items()}


def _session(address: str, token: str) -> StorageState:
    with httpx.Client(base_url=address, trust_env=False) as client:
        answer = client.post("/login", data={"token": token})
        assert answer.status_code == 303, answer.text
        cookies = [
            {"name": name, "value": value, "domain": "127.0.0.1", "path": "/", "expires": -1, "httpOnly": True}
            for name, value in client.cookies.items()
        ]
    return {"cookies": [{**cookie, "secure": False, "sameSite": "Lax"} for cookie in cookies], "origins": []}  # type: ignore[typeddict-item]


Role = Literal["read", "operate"]


class Visit(Protocol):
    def __call__(
        self, role: Role | None = "operate", *, scripts: bool = True, at: str = "", **options: Any
    ) -> Page: ...


@pytest.fixture
def watches() -> list[Watch]:
    """What was noted of each visit of this test, in their order."""
    return []


@pytest.fixture
def visit(
    chromium: Browser, address: str, _logged_in: dict[str, StorageState], watches: list[Watch]
) -> Iterator[Visit]:
    """Opens the dashboard as somebody who is logged in (or nobody); afterwards nothing may have gone wrong unseen."""
    with ExitStack() as stack:

        def begun(role: Role | None = "operate", *, scripts: bool = True, at: str = "", **options: Any) -> Page:
            state = _logged_in[role] if role else None
            context = chromium.new_context(
                base_url=at or address, storage_state=state, java_script_enabled=scripts, **options
            )
            stack.callback(context.close)
            context.set_default_timeout(10_000)
            watches.append(Watch(at or address))
            watches[-1].begin(context)
            return context.new_page()

        yield begun
    assert not [note for watch in watches for note in watch.notes]

"""The examples of docs/frameworks.md, as they stand, with the little that a shop has around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pages import Page
from pushledger import Create, Messages
from pushledger_fastapi import TheMessages, add_error_handlers, lifespan_messages
from pushledger_sqlalchemy import OUTBOX, metadata
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

BLOCKS = Page(Path(__file__).parents[2] / "docs" / "frameworks.md").blocks("python")


def run(heading: str, number: int, **names: Any) -> dict[str, Any]:
    """Run one example of a part of the page; what it defines."""
    block = [block for block in BLOCKS if heading in block.heading][number]
    exec(compile(block.text, f"frameworks.md, line {block.line}", "exec"), names)
    return names


def order() -> SimpleNamespace:
    return SimpleNamespace(pk=1, visitor_id="v-77", status="paid", save=lambda: None)


def test_each_example_is_run_here() -> None:
    parts = ("Django", "SQLAlchemy", "FastAPI")
    assert [sum(name in block.heading for block in BLOCKS) for name in parts] == [3, 1, 1]
    assert len(BLOCKS) == 5


def test_django(project: dict[str, Any]) -> None:
    from django.contrib import admin
    from django.contrib.auth.models import Group
    from pushledger_django import messages

    assert run("Django", 0)["PUSHLEDGER"].keys() == {"REDIS_URL", "ENQUEUE", "DASHBOARD_URL"}
    run("Django", 1, order=order())
    found = messages().get("order:1")
    assert found is not None
    assert found.text == "Shipped"
    admin.site.unregister(Group)
    made = run("Django", 2, Order=Group)["OrderAdmin"]
    assert made(Group, admin.site).pushledger_local_id(order()) == "order:1"


def test_sqlalchemy(valkey_url: str, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", valkey_url)
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", account)
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    metadata.create_all(engine)
    job, lost = Create("order:1", "v-77", "Shipped", agent_id="a"), list[object]()
    run("SQLAlchemy", 0, engine=engine, Session=Session, order=order(), job=job, Messages=Messages, note_it=lost.append)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(OUTBOX)) == 1
    engine.dispose()
    with Messages.from_env() as messages:
        assert messages.message_id("order:1") is None
        assert messages.get("order:1") is not None
    assert lost == []


def test_fastapi(valkey_url: str, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", valkey_url)
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", account)
    given = {
        "FastAPI": FastAPI,
        "AsyncIterator": AsyncIterator,
        "asynccontextmanager": asynccontextmanager,
        "lifespan_messages": lifespan_messages,
        "add_error_handlers": add_error_handlers,
        "TheMessages": TheMessages,
    }
    app = run("FastAPI", 0, **given)["app"]

    async def ship() -> int:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
        ):
            return (await client.post("/orders/1/ship")).status_code

    with Messages.from_env() as messages:
        assert asyncio.run(ship()) == 409, "there is no such message yet"
        messages.create("order:1", visitor_id="v-77", text="Order received", agent_id="a")
        assert asyncio.run(ship()) == 200
        found = messages.get("order:1")
    assert found is not None
    assert found.text == "Shipped"

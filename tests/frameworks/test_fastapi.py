"""FastAPI: messages for as long as the app lives, the dependency, and the answers for what was refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from pushledger import Messages, Settings
from pushledger_fastapi import TheMessages, add_error_handlers, lifespan_messages


def shop(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan_messages(app, settings):
            yield

    app = FastAPI(lifespan=lifespan)
    add_error_handlers(app)

    @app.post("/orders/{number}/receive")
    async def receive(number: int, messages: TheMessages, text: str = "Order received") -> str:
        sender = {"visitor_id": f"visitor-{number}", "agent_id": "agent"}
        return (await messages.create(f"order:{number}", text=text, **sender)).outcome  # type: ignore[arg-type]

    @app.post("/orders/{number}/ship")
    async def ship(number: int, messages: TheMessages) -> int:
        return (await messages.update(f"order:{number}", text="Shipped")).revision

    return app


def ask(app: FastAPI, talk: Callable[[httpx.AsyncClient], Awaitable[None]], *, started: bool = True) -> None:
    async def main() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
            if started:
                async with app.router.lifespan_context(app):
                    await talk(client)
            else:
                await talk(client)

    asyncio.run(main())


def test_routes_have_the_apps_messages(valkey_url: str, account: str) -> None:
    settings = Settings(redis_url=valkey_url, account=account)

    async def talk(client: httpx.AsyncClient) -> None:
        assert (await client.post("/orders/1/receive")).json() == "queued"
        assert (await client.post("/orders/1/ship")).json() == 2

    app = shop(settings)
    ask(app, talk)
    assert not hasattr(app.state, "pushledger_messages"), "they end with the app"
    ask(app, lambda client: _ships(client, 3))
    with Messages(settings) as messages:
        message = messages.get("order:1")
    assert message is not None
    assert (message.text, message.revision) == ("Shipped", 3)


async def _ships(client: httpx.AsyncClient, revision: int) -> None:
    assert (await client.post("/orders/1/ship")).json() == revision


def test_what_is_refused_is_answered_with_field_and_rule(valkey_url: str, account: str) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        unknown = await client.post("/orders/1/ship")
        rule = "no live message has this id; create or upsert it first"
        detail = f"local_id: {rule} ('order:1')"
        assert (unknown.status_code, unknown.json()) == (409, {"detail": detail, "field": "local_id", "rule": rule})
        blank = await client.post("/orders/1/receive", params={"text": " "})
        assert (blank.status_code, blank.json()["field"]) == (422, "text")

    ask(shop(Settings(redis_url=valkey_url, account=account)), talk)


def test_while_redis_is_away_the_answer_is_503_and_names_no_server() -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        answer = await client.post("/orders/1/ship")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "redis" not in answer.text.lower()
        assert "127.0.0.1" not in answer.text

    ask(shop(Settings(redis_url="redis://127.0.0.1:1/0")), talk)


def test_an_app_without_the_lifespan_says_what_is_missing(valkey_url: str) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        with pytest.raises(RuntimeError, match="async with lifespan_messages"):
            await client.post("/orders/1/ship")

    ask(shop(Settings(redis_url=valkey_url)), talk, started=False)

"""A shop with FastAPI: `uvicorn shop:app`, then POST /orders/1042/receive?visitor_id=visitor-77, /orders/1042/ship."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pushledger_fastapi import TheMessages, add_error_handlers, lifespan_messages

AGENT = "d9nKoegKSjmCtyK78"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what lives as long as the app."""
    async with lifespan_messages(app):
        yield


app = FastAPI(lifespan=lifespan)
add_error_handlers(app)


@app.post("/orders/{number}/receive")
async def receive(number: str, visitor_id: str, messages: TheMessages) -> dict[str, str]:
    """Take an order."""
    text = f"We have received your order {number}."
    receipt = await messages.create(f"order:{number}", visitor_id=visitor_id, text=text, agent_id=AGENT)
    return {"message": receipt.outcome}


@app.post("/orders/{number}/ship")
async def ship(number: str, messages: TheMessages) -> dict[str, str]:
    """Send an order on its way; 409 if it was never received."""
    receipt = await messages.update(f"order:{number}", text=f"Your order {number} is on its way.")
    return {"message": receipt.outcome}


@app.get("/orders/{number}/message")
async def message(number: str, messages: TheMessages) -> dict[str, str | None]:
    """How the order's message stands."""
    found = await messages.get(f"order:{number}")
    return {"state": found.state if found else None}

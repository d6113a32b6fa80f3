"""(e) What a delivered message takes in Redis, and how a ledger is filled with very many of them."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import timedelta

from pushledger.ledger import AsyncLedger, Budget, Claimed, LedgerPolicy, Settlement
from pushledger.settings import Settings

from benchmarks.contenders import messages_of, steps
from benchmarks.processes import Server

__all__ = ["Footprint", "fill", "footprint"]

MAP = "pushledger:{default}:map"
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of Redis a message: its entry in the map, and all of the server's data for it."""

    entry: float
    all: float


def fill(server: Server, messages: int) -> None:
    """Delivered messages, taken over from an export: only the map knows them."""
    with messages_of(server) as shop:
        mark = shop.digest_mark()
        for start in range(0, messages, 10_000):
            numbers = range(start, min(start + 10_000, messages))
            shop.restore([(f"older:{number}", _entry(number)) for number in numbers], mark)


def _entry(number: int) -> str:
    digest = secrets.token_urlsafe(12)
    return f"1 pushed 3 - {digest} {digest} {number:08x}aBcDeFgHi"


def footprint(server: Server, messages: int, restored: bool) -> Footprint:
    """Deliver messages (through the scripts, without HTTP), or restore them, and look what they take."""
    before = server.memory()
    if restored:
        fill(server, messages)
    else:
        asyncio.run(_deliver(server, messages))
    with server.client() as client:
        entry = int(client.execute_command("MEMORY", "USAGE", MAP, "SAMPLES", 0))
        if client.hlen(MAP) != messages:
            raise RuntimeError("not every message was delivered")
    return Footprint(entry / messages, (server.memory() - before) / messages)


async def _deliver(server: Server, messages: int) -> None:
    with messages_of(server) as shop:
        shop.submit([step.job() for step in steps(messages)])
    ledger = AsyncLedger.from_url(server.url(), "default", LedgerPolicy(), Settings().redis_timeout)
    done: list[tuple[Claimed, Settlement]] = []
    for _ in range(0, messages + AT_ONCE, AT_ONCE):
        claim_id = secrets.token_hex(8)
        _, claim = await ledger.settle_and_claim(done, claim_id, AT_ONCE, timedelta(minutes=1), Budget())
        done = [
            (one, Settlement(kind="confirmed", message_id=f"{secrets.token_hex(4)}aBcDeFgHi")) for one in claim.messages
        ]
    await ledger.close()

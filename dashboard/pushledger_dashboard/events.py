"""Live events (server-sent): what changes is told within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from pushledger import LedgerUnavailable
from pydantic import BaseModel

from pushledger_dashboard.problems import Problem

__all__ = ["Live"]

EVERY = 1.0
KEEP_ALIVE = 15.0
LONGEST = 600.0  # seconds; then the browser connects again, and shows who it is
MOST = 100


class Live:
    """Streams of events; they end when the server stops."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self._streams = 0

    def close(self) -> None:
        """End all streams."""
        self._closing.set()

    def stream(self, name: str, read: Callable[[], Awaitable[BaseModel | None]]) -> AsyncIterator[str]:
        """Events called ``name``: what is read now, and again whenever it differs (its ``now`` left aside).

        Raises Problem when too many streams are open.
        """
        if self._streams >= MOST:
            raise Problem(503, f"{MOST} streams are open; close one", headers={"Retry-After": "10"})
        return self._events(name, read)

    async def _events(self, name: str, read: Callable[[], Awaitable[BaseModel | None]]) -> AsyncIterator[str]:
        self._streams += 1
        last, ends, said_at = "", time.monotonic() + LONGEST, time.monotonic()
        try:
            yield "retry: 2000\n\n"
            while not self._closing.is_set() and time.monotonic() < ends:
                found = await _read(name, read)
                same = found[1] == last
                if not same or time.monotonic() - said_at >= KEEP_ALIVE:
                    yield ": still here\n\n" if same else found[0]
                    last, said_at = found[1], time.monotonic()
                await self._pause()
        finally:
            self._streams -= 1

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), EVERY)
        except TimeoutError:
            return


async def _read(name: str, read: Callable[[], Awaitable[BaseModel | None]]) -> tuple[str, str]:
    """The event, and what it is compared by."""
    try:
        found = await read()
    except LedgerUnavailable:
        return 'event: away\ndata: {"reason": "the ledger does not answer"}\n\n', "away"
    if found is None:
        return "event: gone\ndata: {}\n\n", "gone"
    return f"event: {name}\ndata: {found.model_dump_json()}\n\n", found.model_dump_json(exclude={"now"})

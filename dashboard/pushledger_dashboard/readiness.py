"""Whether messages get through: a heartbeat that travelled through broker and worker, not a ping."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from pushledger import AsyncMessages, LedgerUnavailable

__all__ = ["Readiness", "Ready"]

POLL = 0.05


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether it is ready, why not, and how long ago the last heartbeat was."""

    ready: bool
    reason: str
    heartbeat_age: timedelta | None = None


class Readiness:
    """Looks for a heartbeat younger than ``fresh``; asks for one otherwise, and waits for it.

    At most one wake-up is asked for in ``fresh``: while no worker runs, they would pile up in the broker.
    """

    def __init__(
        self,
        messages: AsyncMessages,
        fresh: timedelta = timedelta(seconds=30),
        patience: timedelta = timedelta(seconds=4),
    ) -> None:
        self._messages = messages
        self._fresh = fresh
        self._patience = patience.total_seconds()
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")

    async def look(self) -> Ready:
        """How it stands now; takes a few seconds when a heartbeat has to be waited for."""
        try:
            async with self._lock:
                ready = await self._read()
                if ready.ready or time.monotonic() - self._asked_at < self._fresh.total_seconds():
                    return ready
                if not await self._messages.wake_up():
                    return Ready(False, "the broker did not take a wake-up", ready.heartbeat_age)
                self._asked_at = time.monotonic()
                return await self._awaited()
        except LedgerUnavailable:
            return Ready(False, "the ledger does not answer")

    async def _awaited(self) -> Ready:
        ends = time.monotonic() + self._patience
        while True:
            ready = await self._read()
            if ready.ready or time.monotonic() >= ends:
                return ready
            await asyncio.sleep(POLL)

    async def _read(self) -> Ready:
        age = (await self._messages.heartbeat()).age
        if age is not None and age <= self._fresh:
            return Ready(True, "", age)
        since = "ever" if age is None else f"for {round(age.total_seconds())} s"
        return Ready(False, f"no worker has begun a delivery {since}: none runs, or none reaches this broker", age)

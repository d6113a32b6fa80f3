"""One shift of delivery: claim → plan → call → settle, with several messages in the air.

A worker may die between any two lines: what it claimed comes back when the lease is over, as an outcome that is
unknown; what it settled is written. A settlement that cannot be written is kept and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pushledger.errors import LedgerUnavailable
from pushledger.ledger import Budget, Claim, Claimed, Settled, Settlement

from pushledger_worker.answer import Answer, Answered, Unanswered
from pushledger_worker.plan import Call, plan
from pushledger_worker.verdict import Limits, Standing, verdict

__all__ = ["Delivery", "DeliveryLedger", "DeliveryOptions", "Performer"]

log = logging.getLogger(__name__)

LINGER = 1.0  # seconds a shift waits for what is due soon, before it ends and leaves it to the tick
POLL = 0.2  # seconds between looks at the stop flag while nothing else happens
RETRY_LEDGER = 0.5
BREATH = 0.02  # before asking again when a claim brought expired messages to rest and none to send


class DeliveryLedger(Protocol):
    """What a delivery needs of the ledger."""

    async def begin(self, budget: Budget) -> None:
        """See AsyncLedger."""

    async def settle(self, settlements: list[tuple[Claimed, Settlement]], budget: Budget) -> list[Settled]:
        """See AsyncLedger."""

    async def settle_and_claim(
        self,
        settlements: list[tuple[Claimed, Settlement]],
        claim_id: str,
        wanted: int,
        lease: timedelta,
        budget: Budget,
    ) -> tuple[list[Settled], Claim]:
        """See AsyncLedger."""


class Performer(Protocol):
    """What a delivery needs of the API."""

    async def perform(self, call: Call, send_by: float) -> Answer:
        """See Api."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How a shift works."""

    budget: Budget
    inflight: int
    lease: timedelta
    call_timeout: timedelta
    shift: timedelta
    shutdown_grace: timedelta
    limits: Limits


@dataclass(slots=True)
class _Ask:
    """One claim, with the clock as it was before it was first asked: its repetitions share both (R4)."""

    claim_id: str
    asked_at: float


class Delivery:
    """Delivers what is due for one account."""

    def __init__(
        self,
        ledger: DeliveryLedger,
        api: Performer,
        options: DeliveryOptions,
        stopping: Callable[[], bool],
        clock: Callable[[], float],
        crowded: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._options = options
        self._stopping = stopping
        self._clock = clock
        self._crowded = crowded
        self._air: dict[asyncio.Task[Settlement], Claimed] = {}
        self._settlements: list[tuple[Claimed, Settlement]] = []
        self._ask: _Ask | None = None
        self._next_at: float | None = 0.0

    async def run(self) -> None:
        """Work one shift. Returns when nothing is due soon, the shift is over, or the worker stops.

        Raises LedgerUnavailable only when Redis stays away while nothing is in the air: what a lost answer may have
        claimed would count as sent once its lease is over, so the shift asks again as long as it lasts.
        """
        ends = time.monotonic() + self._options.shift.total_seconds()
        await self._ledger.begin(self._options.budget)
        while True:
            closing = self._stopping() or time.monotonic() >= ends
            await self._exchange(0 if closing else self._options.inflight - len(self._air), ends)
            if not self._air and not self._settlements and (closing or not self._is_due_soon()):
                return
            await self._wait()

    def _is_due_soon(self) -> bool:
        return self._next_at is not None and self._next_at <= time.monotonic() + LINGER

    async def _exchange(self, room: int, ends: float) -> None:
        """Hand back what is settled and claim what there is room for, in one round trip."""
        claims = room > 0 and self._next_at is not None and self._next_at <= time.monotonic()
        # A question whose answer is lost may have been carried out: it is asked again, without room for more.
        if self._ask is not None or (room > 0 and self._settlements):
            claims = True
        if not claims and not self._settlements:
            return
        settlements = list(self._settlements)
        try:
            if claims:
                await self._settle_and_claim(settlements, room)
            else:
                self._report(settlements, await self._ledger.settle(settlements, self._options.budget))
        except LedgerUnavailable as error:
            await self._ledger_is_away(error, ends)
            return
        del self._settlements[: len(settlements)]

    async def _settle_and_claim(self, settlements: list[tuple[Claimed, Settlement]], room: int) -> None:
        if self._ask is None:
            self._ask = _Ask(secrets.token_hex(8), self._clock())
        ask, options = self._ask, self._options
        settled, claim = await self._ledger.settle_and_claim(
            settlements, ask.claim_id, room, options.lease, options.budget
        )
        self._ask = None
        self._report(settlements, settled)
        send_by = ask.asked_at + (options.lease - options.call_timeout).total_seconds()
        for claimed in claim.messages:
            task = asyncio.create_task(self._deliver(claimed, claim.strikes, send_by))
            self._air[task] = claimed
        self._next_at = None if claim.next_in is None else time.monotonic() + claim.next_in.total_seconds()
        if not claim.messages and claim.next_in == timedelta(0):
            self._next_at = time.monotonic() + BREATH
        if 0 < len(claim.messages) == room and claim.next_in == timedelta(0):
            self._crowded()

    async def _ledger_is_away(self, error: LedgerUnavailable, ends: float) -> None:
        log.warning("the ledger is away: %s", error, extra={"action": "ledger_away"})
        over = self._stopping() or time.monotonic() >= ends
        if not self._air and not self._settlements and (self._ask is None or over):
            raise error
        if self._stopping() and time.monotonic() > ends + self._options.shutdown_grace.total_seconds():
            for claimed, settlement in self._settlements:
                log.error(
                    "stopping without having written down what came of %s: %s %s",
                    claimed.local_id,
                    settlement.kind,
                    settlement.message_id,
                    extra={"action": "outcome_dropped", "local_id": claimed.local_id},
                )
            self._settlements.clear()
        await asyncio.sleep(RETRY_LEDGER)

    async def _wait(self) -> None:
        if not self._air:
            until = self._next_at if self._next_at is not None else 0.0
            await asyncio.sleep(min(max(until - time.monotonic(), 0.0), POLL))
            return
        timeout = POLL
        if self._next_at is not None and len(self._air) < self._options.inflight:
            timeout = min(max(self._next_at - time.monotonic(), 0.0), POLL)
        done, _ = await asyncio.wait(self._air, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            self._settlements.append((self._air.pop(task), task.result()))

    async def _deliver(self, claimed: Claimed, strikes: int, send_by: float) -> Settlement:
        call = plan(claimed)
        if call is None:  # cannot be: the claim answers such messages itself
            return Settlement(kind="unsent", counts=False)
        try:
            answer = await self._api.perform(call, send_by)
        except Exception as error:  # a bug of ours: the call may have gone out all the same (R10)
            log.exception("a call broke", extra={"action": "call_broke", "local_id": claimed.local_id})
            answer = Unanswered(type(error).__name__)
        standing = Standing(attempts=claimed.attempts, failing_for=claimed.failing_for, strikes=strikes)
        settlement = verdict(call, answer, standing, self._options.limits)
        log.info(
            "%s of %s: %s",
            type(call).__name__,
            claimed.local_id,
            settlement.kind,
            extra={
                "action": "call",
                "local_id": claimed.local_id,
                "call": type(call).__name__.lower(),
                "outcome": settlement.kind,
                "status": answer.status if isinstance(answer, Answered) else None,
            },
        )
        return settlement

    def _report(self, settlements: list[tuple[Claimed, Settlement]], settled: list[Settled]) -> None:
        for (claimed, settlement), how in zip(settlements, settled, strict=True):
            if how.taken != "settled":
                log.warning(
                    "%s came too late for %s (%s)",
                    settlement.kind,
                    claimed.local_id,
                    how.taken,
                    extra={"action": "late_settlement", "local_id": claimed.local_id},
                )

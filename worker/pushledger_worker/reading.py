"""A call that reads, and belongs to no message's delivery: drawn from the budget, made, and handed back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta

from pushledger.ledger import AsyncLedger, Claimed, Drawn, Settlement

from pushledger_worker.answer import Answer, NotSent
from pushledger_worker.delivery import DeliveryOptions, Performer
from pushledger_worker.plan import Probe
from pushledger_worker.process import boot_clock
from pushledger_worker.verdict import Standing, verdict

__all__ = ["REASONS", "Reading"]

REASONS = {
    "budget": "the budget is spent",
    "paused": "the account is paused",
    "messages": "messages that can be sent go first",
}
_LOOK_AGAIN = 5.0  # seconds: a window may free a call earlier than it was told, and a pause may be ended


class Reading:
    """Makes reading calls. ``said`` hears why one waits, and how long."""

    def __init__(
        self,
        ledger: AsyncLedger,
        api: Performer,
        options: DeliveryOptions,
        clock: Callable[[], float] = boot_clock,
        said: Callable[[Drawn], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._options = options
        self._clock = clock
        self._said = said

    async def read(self, call: Probe, wait: timedelta, polite: bool) -> Answer | Drawn:
        """The API's answer; or what no call was free for, after waiting at most so long.

        ``polite`` lets every message that can be sent go first. Raises LedgerUnavailable.
        """
        token, ends = f"reading.{secrets.token_hex(8)}", self._clock() + wait.total_seconds()
        while True:
            asked_at = self._clock()
            drawn = await self._ledger.draw(token, self._options.budget, self._options.lease, polite)
            if drawn.drawn:
                return await self._make(call, token, asked_at)
            if self._clock() + drawn.wait.total_seconds() > ends:
                return drawn
            self._said(drawn)
            await asyncio.sleep(min(drawn.wait.total_seconds(), _LOOK_AGAIN))

    async def _make(self, call: Probe, token: str, asked_at: float) -> Answer:
        options = self._options
        answer = await self._api.perform(call, asked_at + (options.lease - options.call_timeout).total_seconds())
        standing = Standing(attempts=0, failing_for=timedelta(0), strikes=0)
        settlement = _without_trouble(verdict(call, answer, standing, options.limits), answer)
        await self._ledger.settle([(_errand(token, call), settlement)], options.budget)
        return answer


def _without_trouble(settlement: Settlement, answer: Answer) -> Settlement:
    # A wrong key or address in one person's shell must not stop workers that have the right ones.
    if settlement.pause is None or not settlement.pause.trouble:
        return settlement
    return Settlement(kind="unsent" if isinstance(answer, NotSent) else "unknown", heard=settlement.heard)


def _errand(token: str, call: Probe) -> Claimed:
    return Claimed(
        local_id="",
        token=token,
        kind=call.kind,
        wish="probe",
        text="",
        text_digest="",
        target="",
        message_id=call.message_id,
        shown_digest="",
        doomed=(),
        revision=0,
        attempts=0,
        failing_for=timedelta(0),
        waiting_for=timedelta(0),
    )

"""Reading back: does the API show what the ledger believes? Each reading is a call of the account's budget."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from pushledger.errors import RefusedDecision, UnknownLocalId
from pushledger.ledger import NOBODY, AsyncLedger, Belief, By, Drawn, Repairable
from pushledger.message import State
from pushledger.wakeup import WakeUps

from pushledger_worker.api import Api
from pushledger_worker.api_key import ApiKey
from pushledger_worker.delivery import DeliveryOptions, Performer
from pushledger_worker.finding import Finding, compare, remedy, shown_text, unreadable, why_unread
from pushledger_worker.plan import Probe
from pushledger_worker.process import boot_clock, delivery_options
from pushledger_worker.reading import REASONS, Reading
from pushledger_worker.settings import WorkerSettings

__all__ = ["Verification", "Verified", "open_verification"]

MOST_IN_A_STATE = 100_000


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one message. ``detail`` says why nothing could be read, ``remedy`` what would set it right, and
    ``repaired`` the state that a repair brought, None if there was none."""

    local_id: str
    finding: Finding
    message_id: str | None
    remedy: str
    detail: str
    repaired: State | None
    cost_a_call: bool


class Verification:
    """Compares the API with the ledger, message by message.

    ``said`` hears why a reading waits, and how long: for the budget, a pause, or messages that go first; ``wake`` is
    called when a repair shall be delivered and no wake-up is under way.
    """

    def __init__(
        self,
        ledger: AsyncLedger,
        api: Performer,
        options: DeliveryOptions,
        clock: Callable[[], float] = boot_clock,
        said: Callable[[Drawn], None] = lambda _: None,
        wake: Callable[[], object] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._reading = Reading(ledger, api, options, clock, said)
        self._wake = wake

    async def verify(
        self,
        local_id: str,
        *,
        repair: frozenset[Repairable] = frozenset(),
        wait: timedelta,
        polite: bool = False,
        by: By = NOBODY,
    ) -> Verified:
        """Read one message, and set right what is found if it is among what shall be repaired.

        Waits at most so long for a free call; ``polite`` lets every message that can be sent go first. Raises
        UnknownLocalId and LedgerUnavailable.
        """
        belief = await self._ledger.belief(local_id)
        if belief is None:
            raise UnknownLocalId(local_id)
        if finding := unreadable(belief):
            return _verified(local_id, belief, finding)
        answer = await self._reading.read(Probe(belief.kind, belief.message_id), wait, polite)
        if isinstance(answer, Drawn):
            seconds = math.ceil(answer.wait.total_seconds())
            return _verified(local_id, belief, "unread", f"no call is free for {seconds} s: {REASONS[answer.reason]}")
        text = shown_text(answer)
        seen = await self._ledger.digest(text) if text is not None else ""
        finding = compare(belief, answer, seen)
        if finding == "unread":
            return _verified(local_id, belief, finding, why_unread(answer), cost_a_call=True)
        if finding != "same" and await self._ledger.belief(local_id) != belief:
            return _verified(local_id, belief, "moving", cost_a_call=True)
        repaired = await self._repair(local_id, belief, finding, seen, by) if finding in repair else None
        return _verified(local_id, belief, finding, repaired=repaired, cost_a_call=True)

    async def _repair(self, local_id: str, belief: Belief, finding: Finding, seen: str, by: By) -> State | None:
        try:
            decided = await self._ledger.repair(local_id, belief, cast(Repairable, finding), seen, by)
        except RefusedDecision:  # what a person has to do instead stands in the remedy
            return None
        if decided.wake:
            await asyncio.to_thread(self._wake)
        return decided.state

    async def walk(self, state: State, after: str = "") -> list[str]:
        """The local ids of messages in a state, in order, those up to ``after`` left out.

        Delivered ones are all those whose id at the API is known.
        """
        if state == "delivered":
            found = {local_id async for local_id in self._ledger.shown_ids()}
        else:
            found = set(await self._ledger.ids(state, MOST_IN_A_STATE))
        return sorted(local_id for local_id in found if local_id > after)


def _verified(
    local_id: str,
    belief: Belief,
    finding: Finding,
    detail: str = "",
    repaired: State | None = None,
    cost_a_call: bool = False,
) -> Verified:
    return Verified(
        local_id=local_id,
        finding=finding,
        message_id=belief.message_id or None,
        remedy=remedy(belief, finding),
        detail=detail,
        repaired=repaired,
        cost_a_call=cost_a_call,
    )


@asynccontextmanager
async def open_verification(
    settings: WorkerSettings, said: Callable[[Drawn], None] = lambda _: None
) -> AsyncIterator[Verification]:
    """A verification with connections of its own, for as long as the context lasts."""
    ledger = AsyncLedger.from_url(settings.redis_url, settings.account, settings.policy(), settings.redis_timeout)
    key = ApiKey(settings.api_key, settings.api_key_file).current
    wake_ups = WakeUps(settings.broker_url)
    async with Api(settings.api_url, key, settings.call_timeout, boot_clock) as api:
        try:
            wake = functools.partial(wake_ups.publish, settings.account)
            yield Verification(ledger, api, delivery_options(settings), said=said, wake=wake)
        finally:
            wake_ups.close()
            await ledger.close()

"""A shop's messages in one process: the real ledger and the real decisions, a server in memory, time as it is told."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import fakeredis
from brevo_sandbox import Fault, Kind, Match, Sandbox, Scripted
from pushledger import AsyncMessages, Message, Messages
from pushledger.ledger import AsyncLedger, Claimed, Ledger
from pushledger.ledger.connection import AsyncConnection, Connection
from pushledger.message import State
from pushledger.wakeup import WakeUps
from pushledger_worker.api import Api
from pushledger_worker.plan import plan
from pushledger_worker.process import delivery_options
from pushledger_worker.settings import WorkerSettings
from pushledger_worker.verdict import Standing, verdict

from pushledger_testing.story import seen_wrong, state_wrong
from pushledger_testing.wire import Wire

__all__ = ["Shop"]

T = TypeVar("T")
MOST_CALLS = 10_000
_WAITING: tuple[State, ...] = ("queued", "retrying", "held", "failed", "expired")


class _NoWakeUps(WakeUps):
    """Nobody is woken: the test says when messages are delivered."""

    def __init__(self) -> None:
        super().__init__("memory://")

    def publish(self, account: str) -> bool:
        """Say that it was done."""
        return True


class Shop:
    """What a test of a shop works with. Settings are those of a worker, as keyword arguments."""

    def __init__(self, **settings: Any) -> None:
        given = {"api_key": "a-key-of-the-tests", "broker_url": "memory://", "call_timeout": "5s", **settings}
        self.settings = WorkerSettings(**given)
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.sandbox = Sandbox(clock=lambda: self.now.timestamp())
        self.is_cut = False
        self._server = fakeredis.FakeServer()
        client = fakeredis.FakeStrictRedis(server=self._server, decode_responses=True)
        ledger = Ledger(Connection(client), self.settings.account, self.settings.policy(), self._now)
        self.messages = Messages(self.settings, ledger=ledger, wake_ups=_NoWakeUps())
        """What the shop's code is given in place of ``Messages.from_env()``."""

    def _now(self) -> int:
        return round(self.now.timestamp() * 1000)

    # ------------------------------------------------------------ what happens

    def deliver(self) -> int:
        """Let workers do all that can be done at this moment; how many calls that took."""
        return self._run(self._deliver())

    def advance(self, duration: timedelta) -> None:
        """Let time pass. Nothing is delivered meanwhile; ``deliver`` afterwards."""
        if duration < timedelta(0):
            raise ValueError("duration: time goes on, it cannot be negative")
        self.now += duration

    def lose_next_answer(self, *, visitor_id: str | None = None) -> None:
        """The next call is carried out, and its answer is lost: nobody can know whether the visitor sees it."""
        self.fail_next(Kind.RESET_AFTER, visitor_id=visitor_id)

    def fail_next(self, kind: Kind | str, *, visitor_id: str | None = None, times: int = 1) -> None:
        """Let the next calls go wrong, as the sandbox names it: ``error_before``, ``rate_limited``, ``refused`` …"""
        self.sandbox.faults.add(Scripted(Fault(Kind(kind)), times=times, match=Match(visitor_id=visitor_id)))

    def cut_off(self) -> None:
        """From now on the API cannot be reached."""
        self.is_cut = True

    def reconnect(self) -> None:
        """The API can be reached again."""
        self.is_cut = False

    def async_messages(self) -> AsyncMessages:
        """The same ledger for a shop that awaits; make it inside the running loop, and close it there."""
        return AsyncMessages(self.settings, ledger=self._async_ledger(), wake_ups=_NoWakeUps())

    # ------------------------------------------------------------ what is seen

    def sees(self, visitor_id: str) -> list[str]:
        """The texts that a visitor sees now, oldest first."""
        return [message.text for message in self.sandbox.store.chat(visitor_id)]

    def assert_sees(self, visitor_id: str, *texts: str) -> None:
        """Exactly these texts, oldest first. Fails with what is seen instead, and with why the ledger waits."""
        __tracebackhide__ = True
        seen = self.sees(visitor_id)
        if seen != list(texts):
            raise AssertionError(seen_wrong(visitor_id, texts, seen, self._waiting()))

    def assert_sees_nothing(self, visitor_id: str) -> None:
        """No text at all."""
        __tracebackhide__ = True
        self.assert_sees(visitor_id)

    def assert_state(self, local_id: str, state: State) -> None:
        """The ledger has the message in this state."""
        __tracebackhide__ = True
        message = self.messages.get(local_id)
        if message is None or message.state != state:
            raise AssertionError(state_wrong(local_id, state, message, self.messages.timeline(local_id)))

    @property
    def calls(self) -> int:
        """How many calls the API has had."""
        return self.sandbox.journal.last

    @property
    def calls_left(self) -> int | None:
        """How many calls the budget allows at this moment; None without a limit."""
        return self.messages.account(self.settings.budget).calls_left

    def close(self) -> None:
        """Close what is open."""
        self.messages.close()

    # ------------------------------------------------------------ inside

    def _waiting(self) -> Sequence[tuple[Message, str]]:
        account = self.messages.account(self.settings.budget)
        found = [message for state in _WAITING for message in self.messages.in_state(state)]
        waits = {one.local_id: self.messages.why(one.local_id, self.settings.budget) for one in found}
        due = "it can be delivered now: call deliver()"
        reasons = {
            name: ", ".join(
                f"{wait.reason} for {wait.until - account.now} more" if wait.until else wait.reason for wait in why
            )
            for name, why in waits.items()
        }
        return [(one, reasons[one.local_id] or (due if one.state in ("queued", "retrying") else "")) for one in found]

    def _async_ledger(self) -> AsyncLedger:
        client = fakeredis.FakeAsyncRedis(server=self._server, decode_responses=True)
        return AsyncLedger(AsyncConnection(client), self.settings.account, self.settings.policy(), self._now)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        # In a thread of its own, as the test itself may be a coroutine.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, work).result()

    async def _deliver(self) -> int:
        before, options, ledger = self.calls, delivery_options(self.settings), self._async_ledger()
        transport: Callable[[], Wire] = lambda: Wire(self.sandbox, lambda: self.is_cut)  # noqa: E731
        key = self.settings.api_key
        assert key is not None  # noqa: S101 - given above
        api = Api("http://sandbox/v3", lambda: key, self.settings.call_timeout, lambda: 0.0, transport)
        try:
            for _ in range(MOST_CALLS):
                claim = await ledger.claim(secrets.token_hex(8), 1, options.lease, options.budget)
                if not claim.messages and claim.next_in != timedelta(0):
                    return self.calls - before
                for claimed in claim.messages:
                    await self._carry_out(api, ledger, claimed, claim.strikes)
            raise AssertionError(f"there is no end of calls: {MOST_CALLS} were made at one moment")
        finally:
            await api.close()
            await ledger.close()

    async def _carry_out(self, api: Api, ledger: AsyncLedger, claimed: Claimed, strikes: int) -> None:
        options, call = delivery_options(self.settings), plan(claimed)
        if call is None:
            return
        standing = Standing(attempts=claimed.attempts, failing_for=claimed.failing_for, strikes=strikes)
        settlement = verdict(call, await api.perform(call, math.inf), standing, options.limits)
        await ledger.settle([(claimed, settlement)], options.budget)

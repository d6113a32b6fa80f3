"""What a worker process keeps between tasks: one event loop, each account's HTTP client, made after the fork.

A client made before a fork is shared by the children, who then read each other's answers; and connections of one
event loop die with it. So each thread of each process keeps its own, for as long as it lives; they end with it, as
nothing waits in them between two shifts.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta

import uvloop
from pushledger.errors import LedgerUnavailable
from pushledger.ledger import AsyncAccounts
from pushledger.wakeup import WakeUps

from pushledger_worker.api import Api
from pushledger_worker.api_key import ApiKey
from pushledger_worker.delivery import Delivery, DeliveryOptions
from pushledger_worker.round import Round
from pushledger_worker.served import ServedAccounts
from pushledger_worker.settings import WorkerSettings
from pushledger_worker.verdict import Limits

__all__ = ["Process", "boot_clock", "current_process", "delivery_options"]


def boot_clock() -> float:
    """Seconds on a clock that goes on while the machine sleeps, so that a lease is never thought longer (R4)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def delivery_options(settings: WorkerSettings) -> DeliveryOptions:
    """The settings as a shift of delivery takes them."""
    return DeliveryOptions(
        budget=settings.budget,
        inflight=settings.inflight,
        lease=settings.lease,
        call_timeout=settings.call_timeout,
        shift=settings.shift,
        shutdown_grace=settings.shutdown_grace,
        limits=Limits(
            backoff_first=settings.backoff_first,
            backoff_limit=settings.backoff_limit,
            give_up_after=settings.give_up_after,
            settle_delay=settings.settle_delay,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Client:
    """An account's way to the API, and the settings that it was made with."""

    settings: WorkerSettings
    api: Api

    @classmethod
    def of(cls, settings: WorkerSettings) -> _Client:
        key = ApiKey(settings.api_key, settings.api_key_file).current
        return cls(settings, Api(settings.api_url, key, settings.call_timeout, boot_clock))


@dataclass(slots=True)
class Process:
    """The long-lived parts of one worker process (or thread)."""

    pid: int
    settings: WorkerSettings
    runner: asyncio.Runner
    served: ServedAccounts
    accounts: AsyncAccounts
    clients: dict[str, _Client]
    wake_ups: WakeUps

    @classmethod
    def start(cls, settings: WorkerSettings) -> Process:
        """Make the parts; nothing connects yet."""
        return cls(
            pid=os.getpid(),
            settings=settings,
            runner=asyncio.Runner(loop_factory=uvloop.new_event_loop),
            served=ServedAccounts(settings),
            accounts=AsyncAccounts.from_url(settings.redis_url, settings.redis_timeout),
            clients={},
            wake_ups=WakeUps(settings.broker_url),
        )

    def serves(self, account: str) -> bool:
        """Whether it is one of this worker's accounts now."""
        return account in self.served.current()

    def work_a_shift(self, account: str, stopping: Callable[[], bool]) -> None:
        """Deliver for a while; wake another delivery if work is left."""
        self.runner.run(self._round(account, stopping))

    async def _round(self, account: str, stopping: Callable[[], bool]) -> None:
        async def work(name: str, shift: timedelta) -> None:
            await self._shift(name, shift, stopping)

        await Round(
            work=work, due=self._due, stopping=stopping, shift=self.settings.shift, ending=self.settings.lease
        ).run(account)
        for name in self.clients.keys() - self.served.current().keys():
            await self.clients.pop(name).api.close()

    async def _due(self, at_work: Collection[str]) -> Collection[str]:
        others = {
            name: (settings.policy(), settings.budget)
            for name, settings in self.served.current().items()
            if name not in at_work
        }
        if not others:
            return ()
        try:
            return await self.accounts.due(self._asker("round"), others)
        except LedgerUnavailable:  # the shifts that are under way deal with it
            return ()

    async def _shift(self, account: str, shift: timedelta, stopping: Callable[[], bool]) -> None:
        settings = self.served.current().get(account)
        if settings is None:  # taken away since it was woken
            return
        helpers: list[asyncio.Task[None]] = []

        def crowded() -> None:
            if not helpers:
                helpers.append(asyncio.create_task(self._wake_another(account)))

        ledger, options = self.accounts.ledger(account, settings.policy()), delivery_options(settings)
        api = await self._api(account, settings)
        await Delivery(ledger, api, replace(options, shift=shift), stopping, boot_clock, crowded).run()
        await asyncio.gather(*helpers)
        if not stopping():
            wake, _ = await ledger.wake(self._asker("shift"), settings.budget)
            if wake:
                await self._wake_another(account)

    async def _api(self, account: str, settings: WorkerSettings) -> Api:
        """The account's client. It is made anew when its settings have changed; a new key needs no new client."""
        client = self.clients.get(account)
        if client is None or client.settings != settings:
            if client is not None:
                await client.api.close()
            client = self.clients[account] = _Client.of(settings)
        return client.api

    def _asker(self, why: str) -> str:
        return f"{why}-{self.pid}-{time.monotonic_ns()}"

    async def _wake_another(self, account: str) -> None:
        await asyncio.to_thread(self.wake_ups.publish, account)


_local = threading.local()


def current_process(settings: WorkerSettings) -> Process:
    """This process's (and thread's) own parts, made at the first use."""
    process: Process | None = getattr(_local, "process", None)
    if process is None or process.pid != os.getpid():
        process = _local.process = Process.start(settings)
    return process

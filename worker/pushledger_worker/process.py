"""What a worker process keeps between tasks: one event loop, one ledger, one HTTP client, made after the fork.

A client made before a fork is shared by the children, who then read each other's answers; and connections of one
event loop die with it. So each thread of each process keeps its own, for as long as it lives; they end with it, as
nothing waits in them between two shifts.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import uvloop
from pushledger.ledger import AsyncLedger
from pushledger.wakeup import WakeUps

from pushledger_worker.api import Api
from pushledger_worker.api_key import ApiKey
from pushledger_worker.delivery import Delivery, DeliveryOptions
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


@dataclass(slots=True)
class Process:
    """The long-lived parts of one worker process (or thread)."""

    pid: int
    settings: WorkerSettings
    runner: asyncio.Runner
    ledger: AsyncLedger
    api: Api
    wake_ups: WakeUps

    @classmethod
    def start(cls, settings: WorkerSettings) -> Process:
        """Make the parts; nothing connects yet."""
        return cls(
            pid=os.getpid(),
            settings=settings,
            runner=asyncio.Runner(loop_factory=uvloop.new_event_loop),
            ledger=AsyncLedger.from_url(
                settings.redis_url, settings.account, settings.policy(), settings.redis_timeout
            ),
            api=Api(
                settings.api_url,
                ApiKey(settings.api_key, settings.api_key_file).current,
                settings.call_timeout,
                boot_clock,
            ),
            wake_ups=WakeUps(settings.broker_url),
        )

    def work_a_shift(self, stopping: Callable[[], bool]) -> None:
        """Deliver for a while; wake another delivery if work is left."""
        self.runner.run(self._shift(stopping))

    async def _shift(self, stopping: Callable[[], bool]) -> None:
        calls_for_help = 0

        def crowded() -> None:
            nonlocal calls_for_help
            calls_for_help += 1
            if calls_for_help == 1:
                helpers.append(asyncio.create_task(self._wake_another()))

        helpers: list[asyncio.Task[None]] = []
        options = delivery_options(self.settings)
        await Delivery(self.ledger, self.api, options, stopping, boot_clock, crowded).run()
        await asyncio.gather(*helpers)
        if not stopping():
            wake, _ = await self.ledger.wake(f"shift-{self.pid}-{time.monotonic_ns()}", self.settings.budget)
            if wake:
                await self._wake_another()

    async def _wake_another(self) -> None:
        await asyncio.to_thread(self.wake_ups.publish, self.settings.account)


_local = threading.local()


def current_process(settings: WorkerSettings) -> Process:
    """This process's (and thread's) own parts, made at the first use."""
    process: Process | None = getattr(_local, "process", None)
    if process is None or process.pid != os.getpid():
        process = _local.process = Process.start(settings)
    return process

"""(a) Handing jobs in: one call at a time, many at once from asyncio, and in bulk; beside Celery's apply_async."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from pushledger import AsyncMessages
from pushledger.settings import Settings

from benchmarks.contenders import AGENT, CONTENDERS, Recipe, messages_of, steps
from benchmarks.processes import Server

__all__ = ["WAYS", "Enqueued"]

AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Enqueued:
    """One run: jobs a second, and milliseconds until a call returned (0 for bulk: there is one call)."""

    rate: float
    p50_ms: float
    p99_ms: float


def _timed(calls: Iterable[Callable[[], object]]) -> list[float]:
    taken = []
    for call in calls:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


def _enqueued(taken: list[float], seconds: float) -> Enqueued:
    cuts = statistics.quantiles(taken, n=100)
    return Enqueued(len(taken) / seconds, cuts[49] * 1e3, cuts[98] * 1e3)


def one_by_one(server: Server, jobs: int) -> Enqueued:
    """`messages.create`, again and again."""
    with messages_of(server) as messages:
        messages.counts()
        fields = [step.fields for step in steps(jobs)]

        def create(local_id: str, visitor_id: str, text: str) -> object:
            return messages.create(local_id, visitor_id=visitor_id, text=text, agent_id=AGENT)

        taken = _timed([partial(create, *one) for one in fields])
    return _enqueued(taken, sum(taken))


def from_asyncio(server: Server, jobs: int) -> Enqueued:
    """`await messages.create`, fifty at once."""

    async def run() -> Enqueued:
        messages = AsyncMessages(Settings(redis_url=server.url()))
        waiting, taken = iter(steps(jobs)), list[float]()

        async def shopper() -> None:
            for step in waiting:
                local_id, visitor_id, text = step.fields
                began = time.perf_counter()
                await messages.create(local_id, visitor_id=visitor_id, text=text, agent_id=AGENT)
                taken.append(time.perf_counter() - began)

        await messages.counts()
        began = time.perf_counter()
        await asyncio.gather(*(shopper() for _ in range(AT_ONCE)))
        seconds = time.perf_counter() - began
        await messages.close()
        return _enqueued(taken, seconds)

    return asyncio.run(run())


def in_bulk(server: Server, jobs: int) -> Enqueued:
    """`messages.submit` of all."""
    with messages_of(server) as messages:
        messages.counts()
        made = [step.job() for step in steps(jobs)]
        began = time.perf_counter()
        messages.submit(made)
        seconds = time.perf_counter() - began
    return Enqueued(jobs / seconds, 0, 0)


def apply_async(server: Server, jobs: int) -> Enqueued:
    """Celery's, of a task with the same fields."""
    recipe = next(one for one in CONTENDERS if isinstance(one, Recipe))
    with recipe.app(server) as app:

        @app.task(name=recipe.task)
        def task(*_: str) -> None:
            """Never run here."""

        task.apply_async(args=("create", *steps(1)[0].fields))
        taken = _timed([partial(task.apply_async, args=("create", *step.fields)) for step in steps(jobs)])
    return _enqueued(taken, sum(taken))


# What is measured, with how many jobs for each of the other ways' one.
WAYS: dict[str, tuple[Callable[[Server, int], Enqueued], int]] = {
    "Celery apply_async": (apply_async, 1),
    "create, one call at a time": (one_by_one, 1),
    "create from asyncio, 50 at once": (from_asyncio, 1),
    "submit, in bulk": (in_bulk, 5),
}

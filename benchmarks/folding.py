"""(c) Many versions of each message at once, and (d) a limit of calls: what it costs, and what customers see."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import OURS, Fleet, Ledger, Recipe, Step, messages_of, steps
from benchmarks.processes import Api, Server, api, awaited

__all__ = ["Shown", "burst", "limited"]


@dataclass(frozen=True, slots=True)
class Shown:
    """One run: calls made, answers 429, messages that do not show their newest text exactly once, and seconds."""

    calls: int
    throttled: int
    wrong: int
    seconds: float


def _wrong(stand_in: Api, jobs: Sequence[Step]) -> int:
    newest = {step.fields[1]: [step.fields[2]] for step in sorted(jobs, key=lambda step: step.version)}
    shown = stand_in.figures()["shown"]
    return sum(shown.get(visitor) != texts for visitor, texts in newest.items())


def _told(stand_in: Api, jobs: Sequence[Step], began: float) -> Shown:
    calls = stand_in.figures()["calls"]
    throttled = int(calls.pop("429", 0))
    return Shown(sum(calls.values()), throttled, _wrong(stand_in, jobs), time.monotonic() - began)


def burst(server: Server, jobs: Sequence[Step], settings: dict[str, str]) -> Shown:
    """Each job by a call of its own, while the workers run."""
    fleet = Fleet(settings=settings)
    with api() as stand_in, OURS.workers(server, stand_in, fleet), messages_of(server) as messages:
        began = time.monotonic()
        for step in jobs:
            local_id, visitor_id, text = step.fields
            messages.upsert(local_id, visitor_id=visitor_id, text=text, agent_id="d9nKoegKSjmCtyK78")
        awaited(lambda: not _wrong(stand_in, jobs), 60, "all newest texts are shown")
        return _told(stand_in, jobs, began)


def limited(
    contender: Ledger | Recipe, server: Server, messages: int, limit: tuple[int, float], running: bool, most: float
) -> Shown:
    """Three versions of each message under a limit, enqueued beforehand or while workers run; ``most`` seconds."""
    jobs = steps(messages, 3, round_robin=True)
    rate = {"PUSHLEDGER_RATE": f"{limit[0]}/{limit[1]:g}s"}
    fleet = Fleet(inflight=50 if isinstance(contender, Ledger) else 1, settings=rate)
    with api(0, limit) as stand_in, contender.workers(server, stand_in, fleet):
        if not running:
            contender.hold(server)
            contender.enqueue(server, jobs)
            contender.release(server)
        began = time.monotonic()
        if running:
            contender.enqueue(server, jobs)
        while _wrong(stand_in, jobs) and time.monotonic() < began + most:
            time.sleep(0.1)
        return _told(stand_in, jobs, began)

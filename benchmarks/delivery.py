"""(b) Distinct messages, enqueued while the workers wait: how fast they are sent, and what that costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.contenders import OURS, Fleet, Ledger, Recipe, steps
from benchmarks.processes import Server, api, awaited, process

__all__ = ["Delivered", "bare_loop", "deliver", "idle"]

PATIENCE = 300.0
IDLE = 20.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """One run. CPU is milliseconds a message; ``api_busy`` is the part of one core that the stand-in used."""

    rate: float
    worker_ms: float
    server_ms: float
    memory: int
    api_busy: float


def deliver(contender: Ledger | Recipe, server: Server, messages: int, latency_ms: float, fleet: Fleet) -> Delivered:
    """Measure one run, from the first call to the last."""
    with api(latency_ms) as stand_in, contender.workers(server, stand_in, fleet) as workers:
        contender.hold(server)
        contender.enqueue(server, steps(messages))
        worker, redis, idle = workers.cpu(), server.cpu(), stand_in.tree.cpu()
        contender.release(server)
        awaited(lambda: stand_in.served() >= messages, PATIENCE, f"{messages} calls of {contender.name}")
        worker, redis, busy = workers.cpu() - worker, server.cpu() - redis, stand_in.tree.cpu() - idle
        seconds = float(stand_in.figures()["seconds"])
        memory = workers.memory()
    return Delivered(messages / seconds, worker / messages * 1e3, redis / messages * 1e3, memory, busy / seconds)


def bare_loop(calls: int) -> float:
    """Milliseconds of processor time that httpx alone takes for a call."""
    with api() as stand_in, process(["-m", "benchmarks.bare_loop", stand_in.url, str(calls)], {}, pipe=True) as loop:
        return float(loop.stdout.readline())


def idle(server: Server) -> float:
    """The part of one core that a worker takes while there is nothing to do."""
    with api() as stand_in, OURS.workers(server, stand_in, Fleet()) as workers:
        time.sleep(2)  # what begins with it has ended
        before, began = workers.cpu(), time.monotonic()
        time.sleep(IDLE)
        return (workers.cpu() - before) / (time.monotonic() - began)

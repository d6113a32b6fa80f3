"""The search for a history that breaks a promise, on every processor."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import redis
from pushledger.ledger.connection import Connection
from pushledger_worker.embedded import embedded_valkey

from simulation.world import BrokenPromise, Options, World

_CHUNK = 100
_clients: list[redis.Redis] = []


__all__ = ["live", "main", "shortest", "simulate"]


def simulate(client: redis.Redis, seeds: range) -> str | None:
    """Live through histories; the shortest log of the first broken seed, or None."""
    connection = Connection(client)
    for seed in seeds:
        client.flushdb()
        if broken := live(connection, seed, Options()):
            return shortest(client, connection, seed) or broken
    return None


def live(connection: Connection, seed: int, options: Options) -> str | None:
    """Live through one history; its log if it breaks a promise."""
    world = World(seed, connection, options)
    try:
        world.run()
    except BrokenPromise as broken:
        return "\n".join([f"seed {seed}, {options.jobs} jobs, {options.workers} workers: {broken}", *world.log])
    return None


def shortest(client: redis.Redis, connection: Connection, seed: int) -> str | None:
    """The history of that seed with the fewest jobs and workers that breaks a promise still."""
    for jobs, workers in itertools.product(range(2, Options().jobs, 2), range(1, Options().workers + 1)):
        client.flushdb()
        if broken := live(connection, seed, Options(jobs=jobs, workers=workers)):
            return broken
    return None


def _take_server(urls: SimpleQueue[str]) -> None:
    _clients.append(redis.Redis.from_url(urls.get(), decode_responses=True))


def _simulate_here(seeds: range) -> str | None:
    return simulate(_clients[0], seeds)


def _chunks(seeds: range) -> Iterator[range]:
    return (seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK))


def simulate_everywhere(seeds: range, processes: int) -> str | None:
    """The same on several processors, each with a server of its own; tells on stderr how far it is."""
    context = multiprocessing.get_context("spawn")
    begun, done = time.monotonic(), 0
    with ExitStack() as stack:
        urls: SimpleQueue[str] = context.SimpleQueue()
        for _ in range(processes):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            urls.put(stack.enter_context(embedded_valkey(Path(folder))))
        pool = stack.enter_context(ProcessPoolExecutor(processes, context, _take_server, (urls,)))
        for chunk, broken in zip(_chunks(seeds), pool.map(_simulate_here, _chunks(seeds)), strict=True):
            if broken:
                pool.shutdown(cancel_futures=True)
                return broken
            done += len(chunk)
            left = timedelta(seconds=round((time.monotonic() - begun) / done * (len(seeds) - done)))
            print(f"\r{done} of {len(seeds)} histories, {left} left ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return None


def main() -> int:
    """Simulate as many seeds as the command line says, from the one it says."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun = time.monotonic()
    broken = simulate_everywhere(range(first, first + seeds), max(1, min(os.cpu_count() or 1, seeds // _CHUNK)))
    print(broken or f"{seeds} histories, no promise broken", f"({time.monotonic() - begun:.1f} s)")
    return 1 if broken else 0

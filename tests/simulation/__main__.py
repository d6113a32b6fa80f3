"""``make simulate SEEDS=20000``: runs histories and prints the first that breaks a promise."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path

import redis
from pushledger.ledger.connection import Connection
from pushledger_worker.embedded import embedded_valkey

from simulation.world import BrokenPromise, Options, World


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


def main() -> int:
    """Simulate as many seeds as the command line says, from the one it says."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, embedded_valkey(Path(folder)) as url:
        broken = simulate(redis.Redis.from_url(url, decode_responses=True), range(first, first + seeds))
    print(broken or f"{seeds} histories, no promise broken", f"({time.monotonic() - begun:.1f} s)")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

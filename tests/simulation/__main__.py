"""``make simulate SEEDS=20000``: runs histories and prints the first that breaks a promise."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import redis
from pushledger.ledger.connection import Connection
from pushledger_worker.embedded import embedded_valkey

from simulation.world import BrokenPromise, World


def simulate(client: redis.Redis, seeds: range) -> str | None:
    """Live through histories; the log of the first broken one, or None."""
    connection = Connection(client)
    for seed in seeds:
        client.flushdb()
        world = World(seed, connection)
        try:
            world.run()
        except BrokenPromise as broken:
            return f"seed {seed}: {broken}\n" + "\n".join(world.log)
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

"""Promises under every interleaving: histories decided by a seed, over the real scripts on a real server."""

from __future__ import annotations

import pytest
import redis
from pushledger.ledger.connection import Connection
from pushledger.ledger.scripts import script

from simulation.variants import VARIANTS, Variant
from simulation.world import BrokenPromise, World

SEEDS = 300
VERBS = ("record", "claim", "settle", "wake")


@pytest.fixture
def client(valkey_url: str):
    """The server, in a database of its own that each history empties."""
    with redis.Redis.from_url(valkey_url, db=9, decode_responses=True) as client:
        yield client
        client.flushdb()


def first_broken(client: redis.Redis, variant: Variant | None) -> str | None:
    """The first promise that some history breaks, with its log."""
    for seed in range(SEEDS):
        client.flushdb()
        world = World(seed, Connection(client))
        if variant is not None:
            world = World(seed, Connection(client), variant.options, variant.script)
        try:
            world.run()
        except BrokenPromise as broken:
            return "\n".join([f"seed {seed}: {broken}", *world.log])
    return None


@pytest.mark.timeout(300)
def test_no_history_breaks_a_promise(client: redis.Redis) -> None:
    """Whatever dies, freezes, is lost, doubled or late: at rest every promise holds."""
    broken = first_broken(client, None)
    assert broken is None, broken


@pytest.mark.timeout(300)
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_broken_variant_is_found(client: redis.Redis, variant: Variant) -> None:
    """A rule that is left out breaks a promise within as many histories: so the histories contain its trace."""
    if variant.replaced:
        assert any(variant.replaced in script(verb).source for verb in VERBS), "the variant changes nothing"
    assert first_broken(client, variant) is not None

"""Raw replies of Redis as Python values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pushledger.ledger.exchange import Reply

__all__ = ["items", "pairs", "scored", "scores", "whole"]


def scores(reply: Reply) -> list[float]:
    """The scores of a sorted set that was read with them."""
    return list(scored(reply).values())


def scored(reply: Reply) -> dict[str, float]:
    """The members of a sorted set that was read with its scores, and these."""
    # Pairs under RESP3 and where redis-py parses by the command's name; else member, score, member, score …
    flat = [part for item in items(reply) for part in (items(item) if isinstance(item, list | tuple) else (item,))]
    return {str(member): float(cast(float, score)) for member, score in zip(flat[::2], flat[1::2], strict=True)}


def whole(reply: Reply) -> int:
    """A whole number."""
    return int(cast(int, reply))


def items(reply: Reply) -> Sequence[Reply]:
    """A list."""
    return cast("Sequence[Reply]", reply)


def pairs(reply: Reply) -> dict[str, str]:
    """A hash."""
    # redis-py turns HGETALL into a dict outside pipelines only when it parses the reply by command name.
    if isinstance(reply, dict):
        return reply
    flat = [str(item) for item in items(reply)]
    return dict(zip(flat[::2], flat[1::2], strict=True))

"""What the outbox brings to `pushledger check`: do its rows come through, and was any refused?"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta

from pushledger.checks import Check
from pushledger.errors import PushledgerError
from pushledger.messages import AsyncMessages
from pushledger.output import cell

from pushledger_outbox.store import Standing
from pushledger_outbox.stores import PLACES, open_outbox

__all__ = ["check_outbox", "read_standing"]

_NAME = "outbox"
_OLD = timedelta(minutes=5)


async def check_outbox(messages: AsyncMessages) -> Check:
    """Look how the outbox stands; skipped where no database is named."""
    if not any(os.environ.get(name) for name in PLACES):
        return Check(_NAME, "skipped", f"neither {' nor '.join(PLACES)} is set here; a shop may do without")
    try:
        standing = await asyncio.to_thread(_standing)
    except PushledgerError as error:
        return Check(_NAME, "failed", str(error))
    return read_standing(standing, datetime.now(UTC))


def _standing() -> Standing:
    _, store = open_outbox()
    try:
        return store.standing()
    finally:
        store.close()


def read_standing(standing: Standing, now: datetime) -> Check:
    """What there is to say of an outbox that stands like this."""
    said = [f"{standing.waiting} rows wait"]
    if standing.oldest_added_at is not None:
        age = now - datetime.fromtimestamp(standing.oldest_added_at / 1000, UTC)
        said.append(f"the oldest for {cell(max(age, timedelta(0)))}")
        if age > _OLD:
            return Check(_NAME, "failed", f"{', '.join(said)}: does a relay run? `pushledger outbox relay` starts one")
    if standing.refused:
        said.append(f"{standing.refused} were refused: `pushledger outbox status` tells why, retry or drop them")
        return Check(_NAME, "warning", ", ".join(said))
    return Check(_NAME, "ok", ", ".join(said))

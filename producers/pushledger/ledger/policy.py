"""The few settings that the ledger's scripts work by."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["LedgerPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPolicy:
    """Limits and durations that every process of an account must agree on."""

    max_resends: int = 1
    settle_delay: timedelta = timedelta(seconds=30)
    retention: timedelta = timedelta(0)
    tombstone_for: timedelta = timedelta(days=7)
    timeline_for: timedelta = timedelta(days=7)
    timeline_length: int = 50
    keep_failed_for: timedelta = timedelta(days=90)
    fold_for: timedelta = timedelta(0)
    lane_wait: timedelta = timedelta(minutes=5)
    patience: timedelta = timedelta(minutes=15)
    max_backlog: int = 0
    ping_every: timedelta = timedelta(minutes=1)
    fsync: bool = False
    replica: bool = False
    max_claims: int = 5
    wake_for: timedelta = timedelta(seconds=1)
    jobs_for: timedelta = timedelta(minutes=15)

    def arguments(self) -> tuple[str | int, ...]:
        """Name, value, name, value … for the scripts; durations in milliseconds."""
        return _arguments(self)


@functools.cache
def _arguments(policy: LedgerPolicy) -> tuple[str | int, ...]:
    return (
        *("max_resends", policy.max_resends),
        *("settle_delay", milliseconds(policy.settle_delay)),
        *("retention", milliseconds(policy.retention)),
        *("tombstone", max(1, milliseconds(policy.tombstone_for))),
        *("timeline", milliseconds(policy.timeline_for)),
        *("timeline_length", policy.timeline_length),
        *("failed", max(1, milliseconds(policy.keep_failed_for))),
        *("fold_for", milliseconds(policy.fold_for)),
        *("lane_wait", milliseconds(policy.lane_wait)),
        *("patience", milliseconds(policy.patience)),
        *("max_backlog", policy.max_backlog),
        *("ping_every", milliseconds(policy.ping_every)),
        *("max_claims", policy.max_claims),
        *("lost", _LOST),
    )


_LOST = json.dumps({"phase": "unknown", "detail": "the worker's lease ran out"}, separators=(",", ":"))


def milliseconds(duration: timedelta) -> int:
    """A duration in whole milliseconds."""
    return round(duration.total_seconds() * 1000)

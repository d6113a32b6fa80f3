"""How an account did over time: a sample of its counters each minute, for a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["SHOWN_WITHIN", "Sample", "shown_within"]

# Seconds; lua/settle.lua counts by the same, and one more for whatever took longer.
SHOWN_WITHIN = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400)


@dataclass(frozen=True, slots=True)
class Sample:
    """The account's counters since its first day as they stood at a moment, and how many messages waited."""

    at: datetime
    jobs: int
    calls: int
    folded: int
    unchanged: int
    cancelled: int
    throttled: int
    refused: int
    confirmed: int
    waiting: int


def sample(line: str) -> Sample:
    """Read one line of the history: milliseconds, then name=value."""
    at, *parts = line.split(" ")
    values = {name: int(value) for name, _, value in (part.partition("=") for part in parts)}
    return Sample(
        at=datetime.fromtimestamp(int(at) / 1000, UTC),
        jobs=values.get("jobs", 0),
        calls=values.get("calls", 0),
        folded=values.get("folded", 0),
        unchanged=values.get("unchanged", 0),
        cancelled=values.get("cancelled", 0),
        throttled=values.get("throttled", 0),
        refused=values.get("refused", 0),
        confirmed=values.get("outcome_confirmed", 0),
        waiting=values.get("waiting", 0),
    )


def shown_within(stats: dict[str, int]) -> list[tuple[float, int]]:
    """How many changes were shown within so many seconds of their acceptance, for each of SHOWN_WITHIN and infinity.

    ``stats`` are the account's counters; each figure includes those before it.
    """
    total, found = 0, []
    for seconds in SHOWN_WITHIN:
        total += stats.get(f"shown_le_{seconds}", 0)
        found.append((float(seconds), total))
    return [*found, (float("inf"), total + stats.get("shown_le_inf", 0))]

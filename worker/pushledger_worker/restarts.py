"""When a part of a stack that has ended is started again, and when that is given up: decided from values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Ending", "GiveUp", "Restart", "after_ending", "how_it_ended"]

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
STEADY_AFTER = 60.0
MOST_IN_A_ROW = 8


@dataclass(frozen=True, slots=True)
class Ending:
    """How a part ended by itself. ``in_a_row``: how often before, each time before it had run steadily."""

    name: str
    status: int
    ran_for: float
    in_a_row: int
    all_was_up: bool


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after so many seconds; ``in_a_row`` counts this ending too."""

    wait: float
    in_a_row: int
    sentence: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop the others too, and say why."""

    sentence: str


Decision: TypeAlias = Restart | GiveUp


def after_ending(ending: Ending) -> Decision:
    """Waits double from one ending to the next; a part that ran steadily begins anew.

    Before all was up, nothing is tried again: whoever starts it is there to read why.
    """
    how = how_it_ended(ending.status)
    if not ending.all_was_up:
        return GiveUp(f"{ending.name} {how} before everything was up; its lines above say why")
    in_a_row = 1 if ending.ran_for >= STEADY_AFTER else ending.in_a_row + 1
    if in_a_row > MOST_IN_A_ROW:
        return GiveUp(f"{ending.name} {how}, for the {in_a_row}th time in a row; its lines above say why")
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (in_a_row - 1))
    tries = f"start {in_a_row} of {MOST_IN_A_ROW} at most in a row"
    return Restart(wait, in_a_row, f"{ending.name} {how}; it is started again in {wait:g} s ({tries})")


def how_it_ended(status: int) -> str:
    """An exit status as a shell tells it, in words."""
    return f"was killed by signal {status - 128}" if status > 128 else f"ended with status {status}"

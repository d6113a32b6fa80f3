"""When a part is started again, and when it is given up."""

from __future__ import annotations

import pytest
from pushledger_worker.restarts import (
    LONGEST_WAIT,
    MOST_IN_A_ROW,
    STEADY_AFTER,
    Ending,
    GiveUp,
    Restart,
    after_ending,
)


def ending(in_a_row: int = 0, ran_for: float = 1.0, status: int = 1, all_was_up: bool = True) -> Ending:
    return Ending("worker", status, ran_for, in_a_row, all_was_up)


def test_waits_double_up_to_a_limit_and_then_it_is_given_up() -> None:
    waits, in_a_row = [], 0
    while isinstance(decision := after_ending(ending(in_a_row)), Restart):
        waits.append(decision.wait)
        in_a_row = decision.in_a_row
    assert waits == [1, 2, 4, 8, 16, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]
    assert len(waits) == MOST_IN_A_ROW
    assert decision == GiveUp("worker ended with status 1, for the 9th time in a row; its lines above say why")


@pytest.mark.parametrize(("ran_for", "wait"), [(STEADY_AFTER - 1, 16.0), (STEADY_AFTER, 1.0)])
def test_one_that_ran_steadily_begins_anew(ran_for: float, wait: float) -> None:
    decision = after_ending(ending(in_a_row=4, ran_for=ran_for))
    assert isinstance(decision, Restart)
    assert decision.wait == wait


def test_nothing_is_tried_again_before_all_was_up() -> None:
    """A wrong setting, or a port that is taken, would be hidden behind minutes of trying."""
    decision = after_ending(ending(status=2, all_was_up=False))
    assert decision == GiveUp("worker ended with status 2 before everything was up; its lines above say why")


def test_a_restart_is_told_with_its_reason_its_wait_and_its_limit() -> None:
    decision = after_ending(ending(in_a_row=1, status=137))
    assert isinstance(decision, Restart)
    told = "worker was killed by signal 9; it is started again in 2 s (start 2 of 8 at most in a row)"
    assert decision.sentence == told

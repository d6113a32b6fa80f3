"""The judge of the demo must be able to fail: each finding has a case that brings it about, and it alone."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from pushledger_worker.audit import Audit, Copy, Wish, audit

SHIPPED = Wish("order:1", "v", "Shipped", "delivered", "id-1", maybe_doubled=False)
GONE = replace(SHIPPED, text=None, state="deleted", message_id=None)
KNOWN = Copy("v", "id-1", "Shipped")
EXTRA = Copy("v", "id-2", "Shipped")


def judged(wish: Wish, *copies: Copy, max_resends: int = 1) -> Audit:
    return audit([wish], copies, max_resends)


def findings(found: Audit) -> dict[str, int]:
    return {name: count for name, count in asdict(found).items() if count}


@pytest.mark.parametrize("max_resends", [0, 1])
def test_one_copy_with_the_newest_text_is_right(max_resends: int) -> None:
    found = judged(SHIPPED, KNOWN, max_resends=max_resends)
    assert findings(found) == {"right": 1}
    assert found.kept


def test_nothing_shown_is_right_for_a_message_that_shall_be_gone() -> None:
    assert findings(judged(GONE)) == {"right": 1}


def test_delivered_but_not_shown_is_lost() -> None:
    found = judged(SHIPPED)
    assert findings(found) == {"lost": 1}
    assert not found.kept


def test_delivered_under_an_id_that_shows_nothing_is_lost() -> None:
    found = judged(replace(SHIPPED, maybe_doubled=True), EXTRA)
    assert findings(found) == {"lost": 1}
    assert not found.kept


@pytest.mark.parametrize("message_id", ["", None])
def test_delivered_without_an_id_is_lost(message_id: str | None) -> None:
    assert findings(judged(replace(SHIPPED, message_id=message_id), KNOWN)) == {"lost": 1}


def test_the_known_copy_with_an_older_text_is_wrong() -> None:
    found = judged(SHIPPED, replace(KNOWN, text="Paid"))
    assert findings(found) == {"wrong_text": 1}
    assert not found.kept


def test_a_right_extra_copy_does_not_make_up_for_a_wrong_known_one() -> None:
    found = judged(replace(SHIPPED, maybe_doubled=True), replace(KNOWN, text="Paid"), EXTRA)
    assert findings(found) == {"wrong_text": 1, "doubled": 1}
    assert not found.kept


def test_a_copy_of_what_shall_be_gone_is_wrong_and_without_a_mark() -> None:
    found = judged(GONE, KNOWN)
    assert findings(found) == {"wrong_text": 1, "doubled": 1, "unmarked": 1}
    assert not found.kept


def test_a_doubled_message_that_is_marked_is_right() -> None:
    found = judged(replace(SHIPPED, maybe_doubled=True), KNOWN, replace(EXTRA, text="Paid"))
    assert findings(found) == {"right": 1, "doubled": 1}
    assert found.kept


def test_a_doubled_message_without_a_mark_is_unmarked() -> None:
    found = judged(SHIPPED, KNOWN, EXTRA)
    assert findings(found) == {"right": 1, "doubled": 1, "unmarked": 1}
    assert not found.kept


@pytest.mark.parametrize("max_resends", [0, 1, 2])
def test_more_copies_than_the_re_sends_allow_are_over_the_limit(max_resends: int) -> None:
    marked = replace(SHIPPED, maybe_doubled=True)
    extras = [replace(EXTRA, message_id=f"extra-{number}") for number in range(max_resends + 1)]
    found = judged(marked, KNOWN, *extras, max_resends=max_resends)
    assert findings(found) == {"right": 1, "doubled": 1, "over_limit": 1}
    assert not found.kept
    assert judged(marked, KNOWN, *extras[1:], max_resends=max_resends).kept


def test_a_held_message_is_over_the_limit_as_well() -> None:
    found = judged(replace(SHIPPED, state="held", message_id=None), KNOWN, EXTRA, max_resends=0)
    assert findings(found) == {"held": 1, "doubled": 1, "over_limit": 1}
    assert not found.kept


@pytest.mark.parametrize("state", ["queued", "sending", "retrying"])
def test_a_message_that_is_not_at_rest_is_unfinished(state: str) -> None:
    found = judged(replace(SHIPPED, state=state), KNOWN)
    assert findings(found) == {"unfinished": 1}
    assert not found.kept


@pytest.mark.parametrize(("state", "finding"), [("held", "held"), ("failed", "failed"), ("expired", "failed")])
def test_what_waits_for_a_person_is_visible_and_not_lost(state: str, finding: str) -> None:
    found = judged(replace(SHIPPED, state=state, message_id=None))
    assert findings(found) == {finding: 1}
    assert found.kept


def test_a_visitor_is_judged_by_the_own_copies_only() -> None:
    found = audit([SHIPPED, replace(SHIPPED, local_id="order:2", visitor_id="w")], [KNOWN], 1)
    assert findings(found) == {"right": 1, "lost": 1}


def test_a_copy_that_nobody_wished_for_is_not_overlooked() -> None:
    """A text in the chat of a visitor who has no message at all is somebody else's text."""
    found = judged(SHIPPED, KNOWN, Copy("stranger", "id-9", "Shipped"))
    assert findings(found) == {"right": 1, "strayed": 1}
    assert not found.kept

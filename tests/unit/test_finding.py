"""What a reading finds, for every answer and every state, and what is said to set it right."""

from __future__ import annotations

from typing import get_args

import pytest
from pushledger.ledger import Belief
from pushledger.message import STATES
from pushledger_worker.answer import Answer, Answered, Dropped, NotSent, Unanswered
from pushledger_worker.finding import Finding, compare, remedy, shown_text, unreadable, why_unread

SHOWN = Belief("delivered", "pushed", 3, "m-1", "digest of A", True, True)


def belief(**changes: object) -> Belief:
    fields = {name: getattr(SHOWN, name) for name in SHOWN.__slots__}
    return Belief(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", STATES)
def test_only_what_is_at_rest_under_a_known_id_is_read(state: str) -> None:
    found = unreadable(belief(state=state))
    expected = {"queued": "moving", "sending": "moving", "retrying": "moving", "deleted": "without_id"}
    assert found == expected.get(state)
    if found != "moving":
        assert unreadable(belief(state=state, message_id="")) == "without_id"


@pytest.mark.parametrize(
    ("answer", "seen", "finding"),
    [
        (Answered(200, {}, {"text": "A"}), "digest of A", "same"),
        (Answered(200, {}, {"text": "B"}), "digest of B", "differs"),
        (Answered(404, {}, {"message": "not found"}), "", "gone"),
        (Answered(404, {}, {"code": "document_not_found"}), "", "gone"),
        (Answered(404, {}, {}), "", "unread"),
        (Answered(404, {}, {"detail": "Not Found"}), "", "unread"),
        (Answered(404, {}, {"message": "not found"}, is_html=True), "", "unread"),
        (Answered(200, {}, {}), "", "unread"),
        (Answered(200, {}, {"text": 5}), "", "unread"),
        (Answered(401, {}, {}), "", "unread"),
        (Answered(429, {}, {}), "", "unread"),
        (Answered(500, {}, {}), "", "unread"),
        (Unanswered("ReadTimeout"), "", "unread"),
        (NotSent("ConnectError"), "", "unread"),
        (Dropped(), "", "unread"),
    ],
    ids=repr,
)
def test_an_answer_says_what_is_shown_or_nothing(answer: Answer, seen: str, finding: Finding) -> None:
    assert (shown_text(answer) is not None) == bool(seen)
    assert compare(SHOWN, answer, seen) == finding
    assert why_unread(answer)


def test_an_unknown_text_differs_from_whatever_is_shown() -> None:
    assert compare(belief(shown_digest=""), Answered(200, {}, {"text": "A"}), "digest of A") == "differs"


@pytest.mark.parametrize("finding", get_args(Finding))
@pytest.mark.parametrize("keeps_text", [True, False])
@pytest.mark.parametrize("shown_digest", ["digest of A", ""])
@pytest.mark.parametrize("state", STATES)
def test_a_repair_is_promised_only_where_there_is_one(
    finding: Finding, keeps_text: bool, shown_digest: str, state: str
) -> None:
    said = remedy(belief(state=state, keeps_text=keeps_text, shown_digest=shown_digest), finding)
    repairs = state == "delivered" and finding in ("gone", "differs")
    assert said.startswith("repair") == repairs, said
    if repairs and not keeps_text and (finding == "gone" or shown_digest):
        assert "marks it failed" in said
        assert "upsert it" in said


def test_nothing_is_created_anew_without_its_target() -> None:
    assert "failed" in remedy(belief(keeps_target=False), "gone")
    assert remedy(belief(keeps_target=False), "differs") == "repair edits it back"

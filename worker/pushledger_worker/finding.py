"""What a reading of a message found, compared with what the ledger believes, and what would set it right. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pushledger.ledger import Belief

from pushledger_worker.answer import Answer, Answered, NotSent, Unanswered

__all__ = ["Finding", "compare", "remedy", "shown_text", "unreadable", "why_unread"]

Finding: TypeAlias = Literal["same", "differs", "gone", "moving", "without_id", "unread"]


def unreadable(belief: Belief) -> Finding | None:
    """Why a reading would tell nothing: a change is on its way, or no id is known to read by."""
    if belief.state in ("queued", "sending", "retrying"):
        return "moving"
    if belief.state == "deleted" or not belief.message_id:
        return "without_id"
    return None


def shown_text(answer: Answer) -> str | None:
    """The text that the API shows, if the answer says so."""
    if isinstance(answer, Answered) and 200 <= answer.status < 300:
        text = answer.body.get("text")
        return text if isinstance(text, str) else None
    return None


def compare(belief: Belief, answer: Answer, seen_digest: str) -> Finding:
    """What the answer to a GET says; ``seen_digest`` is the digest of the text in it, '' if it holds none."""
    if seen_digest:
        return "same" if seen_digest == belief.shown_digest else "differs"
    if isinstance(answer, Answered) and answer.status == 404 and _is_of_the_api(answer):
        return "gone"
    return "unread"


def _is_of_the_api(answer: Answered) -> bool:
    """Is it an error in the API's own form? A proxy's or another server's 404 says nothing of the message."""
    return not answer.is_html and ("message" in answer.body or "code" in answer.body)


def why_unread(answer: Answer) -> str:
    """What came in place of the message."""
    match answer:
        case Answered(status=status):
            return f"the API answered {status}" + (" without a text" if 200 <= status < 300 else "")
        case NotSent(detail) | Unanswered(detail):
            return f"no answer: {detail}"
        case _:
            return "the call was let go, as its lease ran out"


def remedy(belief: Belief, finding: Finding) -> str:
    """What ``repair`` does about a finding, or what a person can do."""
    if finding == "same":
        return "nothing to do"
    if finding == "moving":
        return "wait: a change of it is on its way"
    if finding == "without_id":
        return "nothing can be read: its id at the API is not known"
    if finding == "unread":
        return "try again later"
    if belief.state != "delivered":
        return f"decide about it first: it is {belief.state}"
    if finding == "gone":
        return (
            "repair creates it anew"
            if belief.keeps_text and belief.keeps_target
            else "repair marks it failed (gone); then upsert it"
        )
    if not belief.shown_digest:
        return "repair takes the text as it is shown: the ledger never knew it"
    return "repair edits it back" if belief.keeps_text else "repair marks it failed (differs); then update or upsert it"

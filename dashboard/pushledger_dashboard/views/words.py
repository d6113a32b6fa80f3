"""The ledger's words as sentences: states, reasons, waits, events, and what decisions do."""

from __future__ import annotations

from pushledger.message import State

__all__ = [
    "ACTIONS",
    "DONE",
    "EVENTS",
    "PAUSES",
    "REASONS",
    "STATES",
    "WAITS",
    "WHEN_EMPTY",
    "count_of",
    "numbered",
    "visible",
]

STATES: dict[State, str] = {
    "queued": "A change was accepted, and its call has not gone out yet.",
    "sending": "A call for it is in the air just now.",
    "retrying": "A call did not succeed; it is tried again by itself.",
    "held": "Nobody can know whether the visitor sees it, or one copy too many: a person has to decide.",
    "failed": "It was given up, and waits for a retry or to be discarded.",
    "expired": "Its time was over before it could be shown, as the shop wanted.",
    "delivered": "The visitor sees its newest text.",
    "deleted": "It is gone from the chat; it is remembered for a while.",
}
WHEN_EMPTY: dict[State, str] = {
    "queued": "Nothing waits for its first call. A message comes here when the shop changes it, until a call is free.",
    "sending": "No call is in the air. A message is here for the second or so that its call takes.",
    "retrying": "Nothing is being tried again. A message comes here when the API was busy, down or out of reach.",
    "held": "Nothing waits for a person. A message comes here when the answer to its create was lost and it must not "
    "be sent again, or when it was deleted and a copy may remain.",
    "failed": "Nothing failed. A message comes here when the API refuses it for good, or after trying for too long.",
    "expired": "Nothing expired. A message comes here when it could not be shown before the time that the shop set.",
    "delivered": "None are listed. Delivered messages leave a small entry only; they are listed while "
    "PUSHLEDGER_RETENTION keeps them. A search by local id or message id finds them all the same.",
    "deleted": "None are remembered. A deleted message stays here for a while, then it is forgotten.",
}
REASONS = {
    "outcome_unknown": "the answer to its create was lost, so the visitor may see it or not",
    "no_message_id": "the API took it and told no usable id, so it can be neither changed nor removed",
    "copy_may_remain": "it was deleted, and a copy whose id is not known may still be visible",
    "refused": "the API refused it for good",
    "gone": "the API does not have it any more: only a create or upsert by the shop brings it back",
    "gave_up": "it was tried for longer than is set, and given up",
    "refused_alone": "the API refused just this message again and again, while others passed",
    "worker_lost": "several workers were lost while they worked on it",
    "lane": "an earlier message to the same visitor goes first",
    "discarded": "a person dropped it",
}
WAITS = {
    "in_the_air": "A call is in the air; its answer is awaited.",
    "paused": "The account is paused.",
    "budget": "No call is left in the budget.",
    "not_before": "The shop wants it shown no earlier.",
    "backoff": "It rests after an attempt that did not succeed.",
    "settling": "An earlier call may still take effect at the API; nothing is sent until that is over.",
    "folding": "Quick changes are gathered, so that they cost one call.",
    "lane": "An earlier message to the same visitor goes first.",
    "person": "A person has to decide: resend, resolve or discard it.",
}
EVENTS = {
    "accepted": "A job was accepted",
    "folded": "It took the place of a change that was still waiting",
    "send": "A create went out",
    "edit": "An edit went out",
    "remove": "A removal went out",
    "answered": "The API answered",
    "unknown": "Whether it was done is not known",
    "unsent": "It was surely not done",
    "lost": "The worker was lost, or its time was over",
    "delivered": "Delivered: the visitor sees the newest text",
    "deleted": "Deleted",
    "held": "Held for a person",
    "failed": "Failed",
    "expired": "Expired",
    "adopted": "Its id at the API came in",
    "extra_copy": "An extra copy came to light, and will be removed",
    "retry": "Retry",
    "resend": "Resend",
    "resolve": "Resolve",
    "discard": "Discard",
    "repair": "Repair, after reading it back",
}
PAUSES = {
    "rate_limited": "the API says that its limit is reached",
    "key_refused": "the API refuses the key: the workers need a valid one",
    "account_refused": "the API refuses the account: look at its plan and its rights",
    "api_url_wrong": "what answers is not the API: look at PUSHLEDGER_API_URL",
    "api_down": "the API failed several times in a row",
    "unreachable": "the API cannot be reached",
}
ACTIONS = {
    "retry": "It waits again and is tried at once. It costs one call.",
    "resend": "It is sent once more, although the visitor may see it already: then it stands there twice. It costs one "
    "call, and the message stays marked.",
    "resolve": "You found the copy and know its message id: it is brought to the newest text, or removed if it shall "
    "be gone. It costs one call.",
    "discard": "What could not be done is dropped, and the chat stays as it is. It costs no call.",
    "delete": "It is taken away from the visitor's chat. It costs one call, or none if it was never sent.",
    "forget": "All that is stored of it is erased, its message id too. The visitor goes on seeing what is there, and "
    "nobody can change or remove it through pushledger any more.",
}
DONE = {
    "retry": "will be tried again.",
    "resend": "will be sent once more.",
    "resolve": "has its message id now.",
    "discard": "was discarded; the chat stays as it is.",
    "delete": "will be deleted.",
    "forget": "was forgotten; the chat stays as it is.",
}


def numbered(number: float) -> str:
    """A number with its thousands parted."""
    return f"{number:,}"


def count_of(number: int, one: str, many: str = "") -> str:
    """So many of something: ``1 message``, ``2,000 messages``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def visible(text: object) -> str:
    """A line in which nothing is invisible: what steers a terminal or turns the direction of writing is spelled out."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in str(text))

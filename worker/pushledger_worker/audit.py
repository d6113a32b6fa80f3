"""Compares what the sandbox really shows with what the shop wished, and says which promises held. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Audit", "Copy", "Wish", "audit"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the shop last said of one message: the text, or None when it shall be gone; and what the ledger
    came to: its state and the id it knows."""

    local_id: str
    visitor_id: str
    text: str | None
    state: str
    message_id: str | None
    maybe_doubled: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """A message that a visitor sees."""

    visitor_id: str
    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts of messages. ``lost``, ``wrong_text``, ``over_limit``, ``unmarked``, ``unfinished`` and ``strayed``
    must be 0."""

    right: int
    held: int
    failed: int
    lost: int
    wrong_text: int
    doubled: int
    over_limit: int
    unmarked: int
    unfinished: int
    strayed: int

    @property
    def kept(self) -> bool:
        """Whether every promise held."""
        broken = (self.lost, self.wrong_text, self.over_limit, self.unmarked, self.unfinished, self.strayed)
        return not any(broken)


def audit(wishes: Iterable[Wish], copies: Iterable[Copy], max_resends: int) -> Audit:
    """Judge each message by what its visitor sees; every visitor here has one message.

    lost: accepted, and neither shown nor visible as held or failed. wrong text: the copy with the known id shows
    another text, or is there although it shall be gone. doubled: more copies than wished; over limit: more than
    1 + max_resends; unmarked: doubled without the ledger saying that it may be; strayed: copies (not messages) in
    the chat of a visitor for whom nothing was wished.
    """
    seen: dict[str, list[Copy]] = {}
    for copy in copies:
        seen.setdefault(copy.visitor_id, []).append(copy)
    counts = dict.fromkeys(Audit.__dataclass_fields__, 0)
    for wish in wishes:
        for finding in _findings(wish, seen.get(wish.visitor_id, []), max_resends):
            counts[finding] += 1
        seen.pop(wish.visitor_id, None)
    counts["strayed"] = sum(map(len, seen.values()))
    return Audit(**counts)


def _findings(wish: Wish, shown: list[Copy], max_resends: int) -> list[str]:
    findings = []
    if len(shown) > 1 + max_resends:
        findings.append("over_limit")
    if len(shown) > (wish.text is not None):
        findings.append("doubled")
        if not wish.maybe_doubled and wish.state != "held":
            findings.append("unmarked")
    if wish.state in ("held", "failed", "expired"):
        return [*findings, "failed" if wish.state != "held" else "held"]
    if wish.state not in ("delivered", "deleted"):
        return [*findings, "unfinished"]
    known = [copy for copy in shown if copy.message_id == wish.message_id]
    if wish.text is None:
        return [*findings, "wrong_text" if shown else "right"]
    if not known:
        return [*findings, "lost"]
    return [*findings, "right" if known[0].text == wish.text else "wrong_text"]

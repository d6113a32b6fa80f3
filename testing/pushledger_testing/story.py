"""What a failed assertion says: what was expected, what is there, and why."""

from __future__ import annotations

from collections.abc import Sequence

from pushledger import Message
from pushledger.message import State, TimelineEvent

__all__ = ["seen_wrong", "state_wrong"]


def seen_wrong(
    visitor_id: str, expected: Sequence[str], seen: Sequence[str], waiting: Sequence[tuple[Message, str]]
) -> str:
    """A visitor sees something else."""
    lines = [f"{visitor_id} should see {_texts(expected)}", f"{' ' * len(visitor_id)} but sees   {_texts(seen)}"]
    if waiting:
        lines.append("what the ledger has not brought there:")
        lines += [
            f"  {message.local_id} (revision {message.revision}) is {message.state}{': ' * bool(why)}{why}"
            for message, why in waiting
        ]
    else:
        lines.append("the ledger has nothing left to bring there: was the job enqueued, and for this visitor?")
    return "\n".join(lines)


def state_wrong(local_id: str, expected: State, message: Message | None, timeline: Sequence[TimelineEvent]) -> str:
    """A message is in another state."""
    if message is None:
        return f"{local_id} should be {expected}, but the ledger never heard of it"
    error = f" ({message.last_error.detail or message.last_error.phase})" if message.last_error else ""
    lines = [f"{local_id} should be {expected}, but is {message.state}{error}; what happened to it:"]
    return "\n".join([*lines, *(f"  {event.at:%H:%M:%S} {event.event} {event.detail}" for event in timeline)])


def _texts(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts)) or "nothing"

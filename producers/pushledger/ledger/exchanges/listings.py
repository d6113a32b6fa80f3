"""Exchanges that read messages: by id, by state, and what happened to one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from pushledger.ledger.belief import Belief, belief_of_entry, belief_of_record
from pushledger.ledger.exchange import Command, Exchange, Reply
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import items, pairs
from pushledger.message import (
    Message,
    State,
    TimelineEvent,
    message_from_entry,
    message_from_record,
    timeline_event,
)

__all__ = ["ListingExchanges"]


class ListingExchanges(AccountExchange):
    """Read messages and their timelines."""

    __slots__ = ()

    def get(self, local_ids: Sequence[str]) -> Exchange[list[Message | None]]:
        """What the ledger knows of each id."""
        reads = ((("HGETALL", self.keys.message(i)), ("HGET", self.keys.map, i)) for i in local_ids)
        commands = tuple(Command(parts) for parts in chain.from_iterable(reads))

        def read(replies: Sequence[Reply]) -> list[Message | None]:
            return [_message(i, replies[2 * n], replies[2 * n + 1]) for n, i in enumerate(local_ids)]

        return Exchange(commands, read)

    def belief(self, local_id: str) -> Exchange[Belief | None]:
        """What the ledger believes that the API shows of a message; None for an unknown id."""
        commands = (Command(("HGETALL", self.keys.message(local_id))), Command(("HGET", self.keys.map, local_id)))

        def read(replies: Sequence[Reply]) -> Belief | None:
            record, entry = pairs(replies[0]), replies[1]
            if record.get("state"):
                return belief_of_record(record)
            return belief_of_entry(str(entry)) if entry is not None else None

        return Exchange(commands, read)

    def timeline(self, local_id: str) -> Exchange[list[TimelineEvent]]:
        """What happened to a message, oldest first."""
        command = Command(("LRANGE", self.keys.timeline(local_id), 0, -1))
        return Exchange((command,), lambda replies: [timeline_event(str(line)) for line in items(replies[0])])

    def ids(self, state: State, limit: int) -> Exchange[list[str]]:
        """Ids of messages in a state: queued ones by how long they wait, others newest first."""
        key = self.keys.leases if state == "sending" else self.keys.state(state)
        command = Command(("ZRANGE" if state == "queued" else "ZREVRANGE", key, 0, limit - 1))
        return Exchange((command,), lambda replies: [str(i) for i in items(replies[0])])


def _message(local_id: str, record: Reply, entry: Reply) -> Message | None:
    fields = pairs(record)
    if fields.get("state"):
        return message_from_record(local_id, fields)
    return message_from_entry(local_id, str(entry)) if entry is not None else None

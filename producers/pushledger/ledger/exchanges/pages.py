"""Exchanges that read lists of messages page by page, and act on many at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import cast

from pushledger.ledger.exchange import Command, Exchange, Reply
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import items, whole
from pushledger.ledger.pages import BulkAction, Filter, Order, Page, Place, SearchBy
from pushledger.message import State

__all__ = ["PageExchanges"]

# Every message that has a record stands in one of these, and every one whose id is known in the map.
_LISTS = ("state:queued", "leases", *(f"state:{name}" for name in ("retrying", "held", "failed", "expired", "deleted")))
_PARTS: dict[SearchBy, tuple[str, ...]] = {
    "prefix": (*_LISTS, "map"),
    "message_id": ("map",),
    "visitor_id": (*_LISTS, "state:delivered"),
}


class PageExchanges(AccountExchange):
    """Read a page of a state's messages; look through all messages, some at a time."""

    __slots__ = ()

    def page(
        self,
        state: State,
        order: Order,
        limit: int,
        most: int,
        place: Place | None = None,
        wanted: Filter | None = None,
        action: BulkAction | None = None,
    ) -> Exchange[Page]:
        """Ids of up to ``limit`` messages of a state, having looked at ``most`` at most."""
        fields = _fields(wanted or Filter())
        call = self.call(
            "page",
            "leases" if state == "sending" else f"state:{state}",
            order,
            limit,
            most,
            place.score if place else "",
            place.local_id if place else "",
            action or "",
            len(fields),
            *fields,
            *self.policy.arguments(),
        )
        return Exchange((call,), lambda replies: _page(state, replies[0]))

    def find(
        self, by: SearchBy, needle: str, part: int, cursor: str, count: int
    ) -> Exchange[tuple[str, int, tuple[str, ...]]]:
        """Where to go on ('0': this part is done), how many were looked at, and the ids that fit.

        ``needle`` is a prefix, a message id, or a visitor's digest; ``part`` counts the lists to be looked through.
        """
        field = "lane" if by == "visitor_id" else by
        call = self.call("find", _PARTS[by][part], cursor, count, field, needle)

        def read(replies: Sequence[Reply]) -> tuple[str, int, tuple[str, ...]]:
            following, looked_at, *ids = items(replies[0])
            return str(following), whole(looked_at), tuple(str(one) for one in ids)

        return Exchange((call,), read)

    def parts(self, by: SearchBy) -> Exchange[tuple[int, ...]]:
        """How many messages each part of a search has."""
        sizes = (("HLEN" if name == "map" else "ZCARD", self.keys.prefix + name) for name in _PARTS[by])
        commands = tuple(Command(parts) for parts in sizes)
        return Exchange(commands, lambda replies: tuple(map(whole, replies)))


def _fields(wanted: Filter) -> tuple[str | int, ...]:
    fields = {
        "prefix": wanted.prefix,
        "reason": wanted.reason,
        "priority": wanted.priority,
        "from": _milliseconds(wanted.since),
        "to": _milliseconds(wanted.until),
    }
    return tuple(chain.from_iterable(fields.items()))


def _milliseconds(moment: datetime | None) -> str | int:
    return "" if moment is None else round(moment.timestamp() * 1000)


def _page(state: State, reply: Reply) -> Page:
    looked_at, left, score, local_id, refused, calls, *ids = cast("list[int | str]", reply)
    return Page(
        state=state,
        ids=tuple(str(one) for one in ids),
        looked_at=int(looked_at),
        left=int(left),
        place=Place(str(score), str(local_id)) if score != "" else None,
        refused=int(refused),
        calls=int(calls),
    )

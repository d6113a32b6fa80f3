"""What pages read of messages: through the documents of the JSON API, which leave out what may not be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pushledger import Message
from pushledger.ledger import Account, Filter

from pushledger_dashboard.access import Principal
from pushledger_dashboard.cursors import place_cursor, place_of, search_cursor, search_place_of
from pushledger_dashboard.desk import Desk
from pushledger_dashboard.documents import MessageDocument
from pushledger_dashboard.problems import Problem
from pushledger_dashboard.routes.messages import known_message
from pushledger_dashboard.views.message import MessageView, message_view
from pushledger_dashboard.views.messages import ListView, Question, list_view

__all__ = ["listed", "shown_message"]

ROWS = 50


def _documents(found: Iterable[Message], account: Account, who: Principal) -> list[MessageDocument]:
    return [MessageDocument.of(message, account, who.sees_texts) for message in found]


async def shown_message(desk: Desk, who: Principal, local_id: str) -> MessageView:
    """One message. Raises UnknownLocalId or InvalidJob."""
    message = await known_message(desk, local_id)
    account, timeline = await asyncio.gather(desk.messages.account(), desk.messages.timeline(local_id))
    return message_view(MessageDocument.of(message, account, who.sees_texts), timeline, account.now)


async def listed(desk: Desk, who: Principal, question: Question, cursor: str | None) -> ListView:
    """One page of a list, or of a search if no state is asked for, or one by what no list is filtered by."""
    if question.state is not None and (not question.q or question.by == "prefix"):
        return await _page(desk, who, question, cursor)
    return await _search(desk, who, question, cursor)


async def _page(desk: Desk, who: Principal, question: Question, cursor: str | None) -> ListView:
    assert question.state is not None  # noqa: S101 - for the type checker
    wanted = Filter(prefix=question.q, reason=question.reason, priority=question.priority)
    (found, page), account = await asyncio.gather(
        desk.messages.page(question.state, wanted, limit=ROWS, place=place_of(cursor)),
        desk.messages.account(),
    )
    return list_view(
        question,
        _documents(found, account, who),
        account.now,
        following=place_cursor(page.place),
        looked_at=page.looked_at,
        of=page.looked_at + page.left,
    )


async def _search(desk: Desk, who: Principal, question: Question, cursor: str | None) -> ListView:
    if question.by == "visitor_id" and not who.sees_texts:
        raise Problem(403, f"the token {who.name} may not see visitors; so it may not search for one either")
    place, by = search_place_of(cursor), question.by
    (found, step), account = await asyncio.gather(
        desk.messages.search(by, question.q, limit=ROWS, place=place), desk.messages.account()
    )
    if by == "prefix" and place is None:
        exact = await desk.messages.get(question.q)
        found = ([exact] if exact else []) + [message for message in found if message.local_id != question.q]
    return list_view(
        question,
        _documents((one for one in found if question.takes(one)), account, who),
        account.now,
        following=search_cursor(step.place),
        looked_at=step.looked_at,
        of=step.of,
    )

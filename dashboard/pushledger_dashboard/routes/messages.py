"""Messages: one, a page of those in a state, and those that a search finds."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query
from pushledger import Message
from pushledger.errors import UnknownLocalId
from pushledger.jobs import check_local_id, check_message_id
from pushledger.ledger import Account, Filter, Order, SearchBy, waiting_for
from pushledger.message import State
from pydantic import AwareDatetime, BaseModel, Field

from pushledger_dashboard.access import Principal, Reader
from pushledger_dashboard.cursors import place_cursor, place_of, search_cursor, search_place_of
from pushledger_dashboard.desk import Desk, TheDesk
from pushledger_dashboard.documents import MessageDocument, TimelineDocument, WaitDocument
from pushledger_dashboard.problems import PROBLEMS, Problem

__all__ = ["Cursor", "Limit", "LocalId", "Prefix", "Reason", "known_message", "router"]

router = APIRouter(prefix="/v1", tags=["messages"], responses=PROBLEMS)

LocalId: TypeAlias = Annotated[str, Query(min_length=1, max_length=512, description="The shop's name for it.")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=500)]
Cursor: TypeAlias = Annotated[str | None, Query(max_length=2000, description="Of the page before.")]
Prefix: TypeAlias = Annotated[str, Query(max_length=512, description="Only local ids that begin so.")]
Reason: TypeAlias = Annotated[
    str, Query(max_length=64, description="Only those that came to the state for this reason.")
]


class PageDocument(BaseModel):
    """A page of messages; go on with the cursor until there is none. A page may be short, or empty, before the end."""

    messages: list[MessageDocument]
    cursor: str | None
    looked_at: int
    left: int = Field(description="How many the state has behind this page, before filtering.")


class SearchDocument(BaseModel):
    """What a search found in this step; it looked at so many of so many. Go on with the cursor until there is none."""

    messages: list[MessageDocument]
    cursor: str | None
    looked_at: int
    of: int


class WhyDocument(BaseModel):
    """Every reason why a message is not shown yet, the one that lasts longest last."""

    waits: list[WaitDocument]


class TimelineAnswer(BaseModel):
    """What happened to a message, oldest first: the last 50 events."""

    events: list[TimelineDocument]


class MessageIdDocument(BaseModel):
    """The API's id of the message as it is shown now; null while none is known."""

    message_id: str | None


def _documents(found: list[Message], account: Account, who: Principal) -> list[MessageDocument]:
    return [MessageDocument.of(message, account, who.sees_texts) for message in found]


async def known_message(desk: Desk, local_id: str) -> Message:
    """The message. Raises UnknownLocalId or InvalidJob."""
    check_local_id(local_id)
    message = await desk.messages.get(local_id)
    if message is None:
        raise UnknownLocalId(local_id)
    return message


@router.get("/messages")
async def list_messages(
    desk: TheDesk,
    who: Reader,
    state: State,
    order: Order = "newest",
    limit: Limit = 100,
    cursor: Cursor = None,
    prefix: Prefix = "",
    reason: Reason = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> PageDocument:
    """Messages in a state, by when they came to it. Delivered ones are listed as long as RETENTION keeps them."""
    wanted = Filter(prefix=prefix, reason=reason, since=since, until=until)
    (found, page), account = await asyncio.gather(
        desk.messages.page(state, wanted, limit=limit, order=order, place=place_of(cursor)),
        desk.messages.account(),
    )
    return PageDocument(
        messages=_documents(found, account, who),
        cursor=place_cursor(page.place),
        looked_at=page.looked_at,
        left=page.left,
    )


@router.get("/message")
async def get_message(desk: TheDesk, who: Reader, local_id: LocalId) -> MessageDocument:
    """What the ledger knows of a message, and what it waits for."""
    message = await known_message(desk, local_id)
    return MessageDocument.of(message, await desk.messages.account(), who.sees_texts)


@router.get("/message/id")
async def get_message_id(desk: TheDesk, who: Reader, local_id: LocalId) -> MessageIdDocument:
    """The API's id of a message."""
    return MessageIdDocument(message_id=(await known_message(desk, local_id)).message_id)


@router.get("/message/timeline")
async def get_timeline(desk: TheDesk, who: Reader, local_id: LocalId) -> TimelineAnswer:
    """What happened to a message; no texts, no visitors."""
    check_local_id(local_id)
    events = await desk.messages.timeline(local_id)
    if not events:
        await known_message(desk, local_id)
    return TimelineAnswer(events=[TimelineDocument.of(event) for event in events])


@router.get("/message/waits")
async def get_waits(desk: TheDesk, who: Reader, local_id: LocalId) -> WhyDocument:
    """Why a message is not shown yet, and until when."""
    message = await known_message(desk, local_id)
    waits = waiting_for(message, await desk.messages.account())
    return WhyDocument(waits=[WaitDocument.of(wait) for wait in waits])


@router.get("/search")
async def search(
    desk: TheDesk,
    who: Reader,
    by: SearchBy,
    q: Annotated[str, Query(min_length=1, max_length=512)],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> SearchDocument:
    """Look for messages by the beginning of the local id, by the API's message id, or by visitor.

    The message with just this local id comes first. There is no index: each step looks at some of the messages.
    """
    if by == "visitor_id" and not who.sees_texts:
        raise Problem(403, f"the token {who.name} may not see visitors; so it may not search for one either")
    if by == "message_id":
        check_message_id(q)
    place = search_place_of(cursor)
    (found, step), account = await asyncio.gather(
        desk.messages.search(by, q, limit=limit, place=place), desk.messages.account()
    )
    if by == "prefix" and place is None:
        exact = await desk.messages.get(q)
        found = ([exact] if exact else []) + [message for message in found if message.local_id != q]
    return SearchDocument(
        messages=_documents(found, account, who),
        cursor=search_cursor(step.place),
        looked_at=step.looked_at,
        of=step.of,
    )

"""Decisions of people: on one message, and on many at once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pushledger.errors import InvalidJob, UnknownLocalId
from pushledger.jobs import check_local_id, parsed_time
from pushledger.ledger import BulkAction, Filter
from pydantic import AwareDatetime, BaseModel

from pushledger_dashboard.access import Operator, Reader
from pushledger_dashboard.cursors import place_cursor, place_of
from pushledger_dashboard.desk import TheDesk
from pushledger_dashboard.documents import (
    AdoptBody,
    BulkBody,
    BulkDocument,
    BulkState,
    DecisionBody,
    DecisionDocument,
    ResolveBody,
)
from pushledger_dashboard.problems import PROBLEMS
from pushledger_dashboard.routes.messages import Cursor, Prefix, Reason

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["decisions"], responses=PROBLEMS)


class ForgottenDocument(BaseModel):
    """The message is not known any more; the chat stays as it is."""

    local_id: str


@router.post("/decisions/retry")
async def retry(body: DecisionBody, desk: TheDesk, who: Operator) -> DecisionDocument:
    """A failed or expired message waits again."""
    check_local_id(body.local_id)
    state = await desk.messages.retry(body.local_id, by=who.name, why=body.why)
    return DecisionDocument(local_id=body.local_id, state=state)


@router.post("/decisions/resend")
async def resend(body: DecisionBody, desk: TheDesk, who: Operator) -> DecisionDocument:
    """A held message is sent once more, although it may be visible already."""
    check_local_id(body.local_id)
    state = await desk.messages.resend(body.local_id, by=who.name, why=body.why)
    return DecisionDocument(local_id=body.local_id, state=state)


@router.post("/decisions/resolve")
async def resolve(body: ResolveBody, desk: TheDesk, who: Operator) -> DecisionDocument:
    """A held message's copy is known: it is brought to the newest text, or removed."""
    check_local_id(body.local_id)
    state = await desk.messages.resolve(body.local_id, body.message_id, by=who.name, why=body.why)
    return DecisionDocument(local_id=body.local_id, state=state)


@router.post("/decisions/discard")
async def discard(body: DecisionBody, desk: TheDesk, who: Operator) -> DecisionDocument:
    """Drop what could not be done, and leave the chat as it is."""
    check_local_id(body.local_id)
    state = await desk.messages.discard(body.local_id, by=who.name, why=body.why)
    return DecisionDocument(local_id=body.local_id, state=state)


@router.post("/decisions/adopt")
async def adopt(body: AdoptBody, desk: TheDesk, who: Operator) -> DecisionDocument:
    """Take a message under the ledger that exists already at the API."""
    known = body.model_dump(exclude={"local_id", "message_id", "version", "why"})
    version = parsed_time("version", body.version)
    if version is not None and not isinstance(version, int | datetime):
        raise InvalidJob("version", "must be a whole number or a time")
    state = await desk.messages.adopt(
        body.local_id, body.message_id, **known, version=version, by=who.name, why=body.why
    )
    return DecisionDocument(local_id=body.local_id, state=state)


@router.post("/decisions/forget")
async def forget(body: DecisionBody, desk: TheDesk, who: Operator) -> ForgottenDocument:
    """Erase all that is stored of a message; it can be neither changed nor removed any more."""
    check_local_id(body.local_id)
    if not await desk.messages.forget(body.local_id, by=who.name, why=body.why):
        raise UnknownLocalId(body.local_id)
    return ForgottenDocument(local_id=body.local_id)


@router.get("/bulk")
async def try_bulk(
    desk: TheDesk,
    who: Reader,
    action: BulkAction,
    state: BulkState,
    prefix: Prefix = "",
    reason: Reason = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 100_000,
    cursor: Cursor = None,
) -> BulkDocument:
    """A dry run: to how many messages it would be done, and how many calls that would cost. Nothing is changed."""
    wanted = Filter(prefix=prefix, reason=reason, since=since, until=until)
    step = await desk.messages.bulk(action, state, wanted, dry_run=True, limit=limit, place=place_of(cursor))
    return BulkDocument.of(step, True, place_cursor(step.place))


@router.post("/bulk")
async def bulk(body: BulkBody, desk: TheDesk, who: Operator) -> BulkDocument:
    """Do it, one step at a time, newest first; go on with the cursor. Repeating a step does no harm."""
    wanted = Filter(prefix=body.prefix, reason=body.reason, since=body.since, until=body.until)
    step = await desk.messages.bulk(
        body.action,
        body.state,
        wanted,
        dry_run=False,
        limit=body.limit,
        place=place_of(body.cursor),
        by=who.name,
        why=body.why,
    )
    return BulkDocument.of(step, False, place_cursor(step.place))

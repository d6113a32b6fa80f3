"""Bulk: one thing done to many messages, shown as a dry run first, then step by step."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pushledger.errors import InvalidJob
from pushledger.ledger import BulkAction, Filter
from pushledger.message import State

from pushledger_dashboard.access import Operator, Principal, Reader, form_of
from pushledger_dashboard.cursors import place_cursor, place_of
from pushledger_dashboard.desk import Desk, TheDesk
from pushledger_dashboard.documents import BulkState
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.problems import Problem
from pushledger_dashboard.routes.messages import Prefix, Reason
from pushledger_dashboard.views.bulk import FITS, Progress, Selection, cost
from pushledger_dashboard.views.words import ACTIONS, REASONS

__all__ = ["router"]

router = APIRouter()

COUNT_AT_ONCE = 100_000
DO_AT_ONCE = 200
Sum: TypeAlias = Annotated[int, Query(ge=0, le=10**12)]
_STATES = ("failed", "held", "expired", "retrying", "queued", "delivered")


async def selection_of(
    action: BulkAction | Literal[""] = "",
    state: BulkState | Literal[""] = "",
    prefix: Prefix = "",
    reason: Reason = "",
    why: Annotated[str, Query(max_length=500)] = "",
) -> Selection:
    """What the address asks for."""
    return Selection(action or None, state, prefix, reason, why)


async def progress_of(
    messages: Sum = 0,
    calls: Sum = 0,
    refused: Sum = 0,
    looked: Sum = 0,
    left: Sum = 0,
    cursor: Annotated[str, Query(max_length=2000)] = "",
) -> Progress:
    """How far the address has come."""
    return Progress(messages, calls, refused, looked, left, cursor)


@router.get("/bulk")
async def show_bulk(
    request: Request,
    desk: TheDesk,
    who: Reader,
    selection: Annotated[Selection, Depends(selection_of)],
    progress: Annotated[Progress, Depends(progress_of)],
    run: Literal["", "1"] = "",
) -> HTMLResponse:
    """A dry run, which goes on where the last address ended; or, with ``run``, how far the doing has come."""
    if selection.fits and not run:
        progress = await _stepped(desk, selection, progress)
    return await _bulk_page(request, desk, who, selection, progress, runs=bool(run))


@router.post("/bulk")
async def run_bulk(request: Request, desk: TheDesk, who: Operator) -> RedirectResponse:
    """Do one step, and show how far it has come."""
    fields = await form_of(request)
    selection = Selection(
        cast(BulkAction, fields.get("action", "")),
        fields.get("state", ""),
        fields.get("prefix", ""),
        fields.get("reason", ""),
        fields.get("why", "").strip(),
    )
    if selection.action not in FITS or not selection.fits:
        raise Problem(422, "action: does not fit messages in this state", field="action")
    numbers = {name: _number(name, fields.get(name, "")) for name in ("messages", "calls", "refused", "looked", "left")}
    progress = Progress(**numbers, cursor=fields.get("cursor", ""))
    progress = await _stepped(desk, selection, progress, who)
    desk.overview.changed()
    return RedirectResponse(progress.href(selection, runs=True), 303)


async def _stepped(desk: Desk, selection: Selection, progress: Progress, who: Principal | None = None) -> Progress:
    """One step more; without ``who`` nothing is changed."""
    assert selection.action is not None  # noqa: S101 - for the type checker
    step = await desk.messages.bulk(
        selection.action,
        cast(State, selection.state),
        Filter(prefix=selection.prefix, reason=selection.reason),
        dry_run=who is None,
        limit=COUNT_AT_ONCE if who is None else DO_AT_ONCE,
        place=place_of(progress.cursor or None),
        by=who.name if who else "",
        why=selection.why,
    )
    return progress.after(step, place_cursor(step.place))


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12) and text:
        raise InvalidJob(name, "must be a whole number")
    return int(text or 0)


async def _bulk_page(
    request: Request, desk: Desk, who: Principal, selection: Selection, progress: Progress, *, runs: bool
) -> HTMLResponse:
    return page(
        request,
        "bulk.html",
        who,
        title="Bulk",
        selection=selection,
        progress=progress,
        runs=runs,
        next_href=progress.href(selection, runs=False) if progress.cursor and not runs else "",
        cost=cost(progress, (await desk.messages.account()).budget),
        consequence=ACTIONS[selection.action] if selection.action else "",
        fits=FITS,
        states=_STATES,
        reasons=REASONS,
    )

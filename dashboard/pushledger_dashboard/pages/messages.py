"""Lists of messages, and one message."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pushledger.jobs import Priority
from pushledger.ledger import SearchBy
from pushledger.message import State

from pushledger_dashboard.access import Principal, Reader
from pushledger_dashboard.addresses import address
from pushledger_dashboard.desk import Desk, TheDesk
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.pages.reading import listed, shown_message
from pushledger_dashboard.routes.messages import Cursor, LocalId, Reason
from pushledger_dashboard.views.messages import Question, state_tabs
from pushledger_dashboard.views.words import DONE, REASONS, visible

__all__ = ["message_page", "notice_of", "router"]

router = APIRouter()

# A form sends its empty fields too.
AnyState: TypeAlias = State | Literal[""]
AnyPriority: TypeAlias = Priority | Literal[""]
Done: TypeAlias = Annotated[str, Query(max_length=20, description="What was done just now.")]
Sought: TypeAlias = Annotated[str, Query(max_length=512)]


def notice_of(done: str, local_id: str) -> str:
    """What a page says after something was done to a message; '' for nothing."""
    return f"{visible(local_id)} {DONE[done]}" if done in DONE and local_id else ""


@router.get("/messages")
async def list_messages(
    request: Request,
    desk: TheDesk,
    who: Reader,
    state: AnyState = "",
    priority: AnyPriority = "",
    reason: Reason = "",
    q: Sought = "",
    by: SearchBy = "prefix",
    cursor: Cursor = None,
    done: Done = "",
    done_to: Sought = "",
) -> HTMLResponse:
    """Messages of a state, or those that a search finds; without either, all states."""
    question = Question(state or None, priority, reason, q.strip() if by != "prefix" else q, by)
    asked = question.state is not None or question.is_filtered
    found = await listed(desk, who, question, cursor or None) if asked else None
    return page(
        request,
        "messages.html",
        who,
        title=f"{question.state.capitalize()} messages" if question.state else "Messages",
        question=question,
        view=found,
        tabs=state_tabs(await desk.messages.counts()),
        reasons=REASONS,
        is_first=not cursor,
        notice=notice_of(done, done_to),
    )


@router.get("/messages/show")
async def show_message(request: Request, desk: TheDesk, who: Reader, id: LocalId, done: Done = "") -> HTMLResponse:
    """One message: its fields, why it waits, what happened to it, and what may be done."""
    return await message_page(request, desk, who, id, notice=notice_of(done, id))


async def message_page(
    request: Request,
    desk: Desk,
    who: Principal,
    local_id: str,
    *,
    status: int = 200,
    notice: str = "",
    alert: str = "",
) -> HTMLResponse:
    """The page of a message. Raises UnknownLocalId or InvalidJob."""
    view = await shown_message(desk, who, local_id)
    return page(
        request,
        "message.html",
        who,
        status=status,
        title=f"Message {visible(local_id)}",
        view=view,
        notice=notice,
        alert=alert,
        events=address("/v1/events", local_id=local_id),
    )

"""Decisions of a person on one message, from a form; afterwards the browser is led back to a page."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pushledger.errors import InvalidJob, RefusedDecision, RefusedJob, UnknownLocalId
from pushledger.jobs import Delete, check_local_id

from pushledger_dashboard.access import Operator, Principal, form_of
from pushledger_dashboard.addresses import address, message_address
from pushledger_dashboard.desk import Desk, TheDesk
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.pages.messages import message_page
from pushledger_dashboard.pages.reading import shown_message
from pushledger_dashboard.problems import Problem, problem_of
from pushledger_dashboard.routes.messages import LocalId
from pushledger_dashboard.views.words import ACTIONS, visible

__all__ = ["router"]

router = APIRouter()


@router.post("/messages/decide")
async def decide(request: Request, desk: TheDesk, who: Operator) -> Response:
    """Retry, resend, resolve, discard, delete or forget one message."""
    fields = await form_of(request)
    local_id, action = fields.get("id", ""), fields.get("action", "")
    check_local_id(local_id)
    try:
        await _carry_out(desk, who, action, local_id, fields)
    except UnknownLocalId:
        raise
    except (InvalidJob, RefusedJob, RefusedDecision) as error:
        problem = problem_of(error)
        status = problem.document.status if problem else 500
        return await message_page(request, desk, who, local_id, status=status, alert=str(error))
    desk.overview.changed()
    return RedirectResponse(_afterwards(fields.get("back", ""), action, local_id), 303)


async def _carry_out(desk: Desk, who: Principal, action: str, local_id: str, fields: Mapping[str, str]) -> None:
    messages, by, why = desk.messages, who.name, fields.get("why", "").strip()
    match action:
        case "retry":
            await messages.retry(local_id, by=by, why=why)
        case "resend":
            await messages.resend(local_id, by=by, why=why)
        case "resolve":
            await messages.resolve(local_id, fields.get("message_id", "").strip(), by=by, why=why)
        case "discard":
            await messages.discard(local_id, by=by, why=why)
        case "delete":
            answer = (await messages.submit([Delete(local_id)], by=by, why=why, audited=True))[0]
            if isinstance(answer, RefusedJob):
                raise answer
        case "forget":
            if not await messages.forget(local_id, by=by, why=why):
                raise UnknownLocalId(local_id)
        case _:
            raise Problem(422, f"action: must be one of {', '.join(ACTIONS)}", field="action")


def _afterwards(back: str, action: str, local_id: str) -> str:
    """Back to the list that it was done from, or to the message."""
    if action == "forget":
        return address("/messages", done=action, done_to=local_id)
    if back.startswith("/messages?") and back.isprintable() and "\\" not in back:
        kept = back.partition("&done=")[0]
        return f"{kept}&{address('', done=action, done_to=local_id).lstrip('?')}"
    return f"{message_address(local_id)}&done={action}"


@router.get("/messages/forget")
async def ask_to_forget(request: Request, desk: TheDesk, who: Operator, id: LocalId) -> HTMLResponse:
    """What forgetting a message means, before it is done."""
    view = await shown_message(desk, who, id)
    return page(request, "forget.html", who, title=f"Forget {visible(id)}?", view=view, consequence=ACTIONS["forget"])

"""The account: pause and resume, budget, agents kept online, jobs that the intake refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pushledger.errors import InvalidJob
from pushledger.targets import Agent

from pushledger_dashboard.access import Operator, Principal, Reader, form_of
from pushledger_dashboard.desk import Desk, TheDesk
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.views.account import (
    agent_views,
    gauge_view,
    pause_view,
    refused_jobs,
    windows_in_words,
)
from pushledger_dashboard.views.times import moment

__all__ = ["router"]

router = APIRouter(prefix="/account")

REFUSED = 50
_DONE = {
    "paused": "The account is paused. Calls in the air end as usual.",
    "resumed": "The account is resumed: workers go on at once.",
    "online": "The agent is kept online.",
    "offline": "The agent is not kept online any more. The API shows it so for some minutes after its last ping.",
}
_PAUSES = {"10": "10 minutes", "60": "1 hour", "480": "8 hours", "": "until it is resumed"}
_ONLINE_HOURS = (1, 4, 8, 12, 24)


@router.get("")
async def show_account(request: Request, desk: TheDesk, who: Reader, done: str = "") -> HTMLResponse:
    """The account."""
    return await _account_page(request, desk, who, notice=_DONE.get(done, ""))


@router.post("/pause")
async def pause(request: Request, desk: TheDesk, who: Operator) -> Response:
    """Pause the whole account."""
    fields = await form_of(request)
    try:
        reason = fields.get("reason", "").strip() or "by hand"
        if len(reason) > 200:
            raise InvalidJob("reason", "must be at most 200 characters")
        why = fields.get("why", "").strip()
        minutes = _whole("minutes", fields.get("minutes", ""), 5_256_000)
        duration = {"duration": timedelta(minutes=minutes)} if minutes else {}
        await desk.messages.pause(**duration, reason=reason, by=who.name, why=why)
    except InvalidJob as error:
        return await _account_page(request, desk, who, alert=str(error), status=422)
    desk.overview.changed()
    return RedirectResponse("/account?done=paused", 303)


@router.post("/resume")
async def resume(request: Request, desk: TheDesk, who: Operator) -> Response:
    """End whatever pause stands."""
    try:
        await desk.messages.resume(by=who.name, why=(await form_of(request)).get("why", "").strip())
    except InvalidJob as error:
        return await _account_page(request, desk, who, alert=str(error), status=422)
    desk.overview.changed()
    return RedirectResponse("/account?done=resumed", 303)


@router.post("/online")
async def keep_online(request: Request, desk: TheDesk, who: Operator) -> Response:
    """Keep an agent online for some hours."""
    fields = await form_of(request)
    try:
        hours = _whole("hours", fields.get("hours", ""), 366 * 24)
        await desk.messages.keep_online(_agent(fields), for_=timedelta(hours=hours), by=who.name)
    except InvalidJob as error:
        return await _account_page(request, desk, who, alert=str(error), status=422)
    desk.overview.changed()
    return RedirectResponse("/account?done=online#agents", 303)


@router.post("/offline")
async def go_offline(request: Request, desk: TheDesk, who: Operator) -> Response:
    """Stop keeping an agent online."""
    try:
        await desk.messages.go_offline(_agent_of((await form_of(request)).get("agent", "")), by=who.name)
    except InvalidJob as error:
        return await _account_page(request, desk, who, alert=str(error), status=422)
    desk.overview.changed()
    return RedirectResponse("/account?done=offline#agents", 303)


def _whole(name: str, text: str, most: int) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9 and 0 < int(text) <= most):
        raise InvalidJob(name, f"must be a whole number from 1 to {most}")
    return int(text or 0)


def _agent(fields: Mapping[str, str]) -> Agent:
    given = {name: fields.get(name, "").strip() or None for name in Agent.__slots__}
    return Agent(**given)


def _agent_of(key: str) -> Agent:
    try:
        return Agent.from_json(key)
    except (ValueError, TypeError, AttributeError):
        raise InvalidJob("agent", "must be one of those that are kept online") from None


async def _account_page(
    request: Request, desk: Desk, who: Principal, *, status: int = 200, notice: str = "", alert: str = ""
) -> HTMLResponse:
    messages = desk.messages
    account, heartbeat, presences, refused, warnings = await asyncio.gather(
        messages.account(),
        messages.heartbeat(),
        messages.presences(),
        messages.refused(REFUSED),
        messages.server_warnings(),
    )
    now = account.now
    return page(
        request,
        "account.html",
        who,
        status=status,
        title="Account",
        notice=notice,
        alert=alert,
        pause=pause_view(account.pause, now),
        gauge=gauge_view(account),
        windows=windows_in_words(account.budget),
        heartbeat=moment(heartbeat.last, now) if heartbeat.last else None,
        agents=agent_views(presences, now),
        refused=refused_jobs(refused, now),
        most_refused=REFUSED,
        warnings=warnings,
        pauses=_PAUSES,
        hours=_ONLINE_HOURS,
        calls_per_hour=round(timedelta(hours=1) / desk.settings.ping_every),
        events="/v1/events",
    )

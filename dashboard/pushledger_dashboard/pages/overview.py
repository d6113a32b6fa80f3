"""The first page: how the account stands, and what to do now."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pushledger_dashboard.access import Reader
from pushledger_dashboard.desk import TheDesk
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.views.overview import overview_view

__all__ = ["router"]

router = APIRouter()
_REFUSED = 200  # of the last day are counted at most


@router.get("/")
async def overview(request: Request, desk: TheDesk, who: Reader) -> HTMLResponse:
    """What customers see, how late, how many may be doubled, what to do now."""
    reading, presences, refused = await asyncio.gather(
        desk.overview.reading(), desk.messages.presences(), desk.messages.refused(_REFUSED)
    )
    view = overview_view(reading, desk.settings.max_backlog, presences, refused)
    return page(request, "overview.html", who, title="Overview", view=view, events="/v1/events")

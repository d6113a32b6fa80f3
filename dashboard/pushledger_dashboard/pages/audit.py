"""The audit trail: who did what, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from pushledger_dashboard.access import Reader
from pushledger_dashboard.addresses import address
from pushledger_dashboard.desk import TheDesk
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.views.audit import entry_views

__all__ = ["router"]

router = APIRouter()
ENTRIES = 100


@router.get("/audit")
async def show_audit(
    request: Request, desk: TheDesk, who: Reader, skip: Annotated[int, Query(ge=0, le=10_000)] = 0
) -> HTMLResponse:
    """What people did, newest first."""
    entries = await desk.messages.audit(ENTRIES + 1, skip)
    following = address("/audit", skip=skip + ENTRIES) if len(entries) > ENTRIES else ""
    shown = entry_views(entries[:ENTRIES], datetime.now(UTC))
    return page(request, "audit.html", who, title="Audit", entries=shown, next_href=following, skip=skip)

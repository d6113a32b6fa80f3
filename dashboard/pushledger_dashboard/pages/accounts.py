"""The page that lists the accounts, and leads to each."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pushledger_dashboard.access import Known
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.routes.accounts import TheDesks, read_accounts

__all__ = ["router"]

router = APIRouter()


@router.get("/accounts")
async def accounts(request: Request, desks: TheDesks, who: Known) -> HTMLResponse:
    """Every account that the one who asks may see."""
    found = await read_accounts(desks, [name for name in await desks.names() if who.may_see(name)])
    return page(request, "accounts.html", who, title="Accounts", found=found)

"""All accounts that one who asks may see, and how each stands."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from pushledger_dashboard.access import Known
from pushledger_dashboard.accounts import Desks
from pushledger_dashboard.desk import Desk
from pushledger_dashboard.problems import PROBLEMS

__all__ = ["AccountDocument", "TheDesks", "read_accounts", "router"]

router = APIRouter(prefix="/v1", tags=["account"], responses=PROBLEMS)


class AccountDocument(BaseModel):
    """One account at one moment."""

    account: str
    address: str = Field(description="Its part of this site: pages and JSON API, as `/accounts/fr/v1/overview`.")
    waiting: int
    held: int
    failed: int
    paused: bool
    oldest_due: datetime | None
    looked_after: bool = Field(description="Whether a worker serves it; if not, what waits will wait for ever.")
    looked_after_at: datetime | None


class AccountsAnswer(BaseModel):
    """The accounts, the dashboard's own first."""

    accounts: list[AccountDocument]


def desks_of(request: Request) -> Desks:
    """The app's desks; they stand as long as the app runs."""
    desks: Desks = request.app.state.desks
    return desks


TheDesks = Annotated[Desks, Depends(desks_of)]


async def read_accounts(desks: Desks, names: list[str]) -> list[AccountDocument]:
    """How these accounts stand."""
    found = [await desks.of(name) for name in names]
    return list(await asyncio.gather(*map(_read, found)))


async def _read(desk: Desk) -> AccountDocument:
    reading, name = await desk.overview.reading(), desk.settings.account
    return AccountDocument(
        account=name,
        address=f"/accounts/{name}/",
        waiting=reading.account.waiting,
        held=reading.counts["held"],
        failed=reading.counts["failed"],
        paused=reading.account.pause is not None,
        oldest_due=reading.account.oldest_due,
        looked_after=reading.account.is_looked_after,
        looked_after_at=reading.account.looked_after_at,
    )


@router.get("/accounts")
async def get_accounts(desks: TheDesks, who: Known) -> AccountsAnswer:
    """Every account that ever had a job or a worker, as far as the token may see it."""
    names = [name for name in await desks.names() if who.may_see(name)]
    return AccountsAnswer(accounts=await read_accounts(desks, names))

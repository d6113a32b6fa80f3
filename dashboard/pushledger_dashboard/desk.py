"""What every route works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Request
from pushledger import AsyncMessages

from pushledger_dashboard.events import Live
from pushledger_dashboard.overview import Overview
from pushledger_dashboard.readiness import Readiness
from pushledger_dashboard.settings import DashboardSettings
from pushledger_dashboard.switch import account_of

__all__ = ["Desk", "TheDesk"]


@dataclass(frozen=True, slots=True)
class Desk:
    """The account's messages, and what is read from them for all who ask."""

    settings: DashboardSettings
    messages: AsyncMessages
    overview: Overview
    readiness: Readiness
    live: Live


async def desk_of(request: Request) -> Desk:
    """The desk of the account that the address names; it stands as long as the app runs."""
    desk: Desk = await request.app.state.desks.of(account_of(request))
    return desk


TheDesk: TypeAlias = Annotated[Desk, Depends(desk_of)]

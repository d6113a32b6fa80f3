"""Pages for people, a module a noun. Every one is whole without JavaScript, and escapes whatever it shows.

Routes read the ledger and hand the values on to ``views``, which turns them into what a template shows. Scripts and
styles are files under ``static/``: the browser runs no others.
"""

from __future__ import annotations

from fastapi import APIRouter

from pushledger_dashboard.pages import account, accounts, audit, bulk, decisions, login, messages, overview
from pushledger_dashboard.pages.errors import answer_problem

__all__ = ["answer_problem", "router"]

router = APIRouter(include_in_schema=False)
for _part in (overview, messages, decisions, bulk, account, accounts, audit, login):
    router.include_router(_part.router)

"""The ASGI app: routes, guards, and the accounts' messages for as long as it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from pushledger_dashboard import pages
from pushledger_dashboard.access import Access
from pushledger_dashboard.accounts import Desks
from pushledger_dashboard.events import Live
from pushledger_dashboard.guards import Guard
from pushledger_dashboard.problems import add_problem_handlers
from pushledger_dashboard.routes import account, accounts, decisions, health, jobs, messages
from pushledger_dashboard.settings import DashboardSettings
from pushledger_dashboard.switch import Switch

__all__ = ["create_app"]

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


def create_app(settings: DashboardSettings, live: Live | None = None) -> FastAPI:
    """The dashboard of a ledger. ``live`` may be handed in, to be closed from outside when the server stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.desks = Desks(settings, streams)
        try:
            yield
        finally:
            streams.close()
            await app.state.desks.close()

    streams = live or Live()
    hosts = None if settings.tokens else _LOOPBACK_HOSTS
    app = FastAPI(
        title="pushledger",
        version=version("pushledger"),
        description="Messages of an account: enqueue, look, decide. `/accounts/NAME` before an address names another.",
        lifespan=lifespan,
        middleware=[Middleware(Guard, hosts=hosts), Middleware(Switch)],
        docs_url=None,  # their pages run scripts of other hosts
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.access = Access(settings)
    add_problem_handlers(app, pages.answer_problem)
    for part in (jobs, messages, decisions, account, accounts, health, pages):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    return app

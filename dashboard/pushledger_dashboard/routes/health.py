"""Health and figures, for supervisors and Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from pushledger_dashboard.access import Known
from pushledger_dashboard.desk import TheDesk
from pushledger_dashboard.metrics import metrics_text
from pushledger_dashboard.problems import PROBLEMS
from pushledger_dashboard.routes.accounts import TheDesks
from pushledger_dashboard.switch import account_of, is_named

__all__ = ["router"]

router = APIRouter(tags=["health"])


class HealthDocument(BaseModel):
    """This process works."""

    status: str


class ReadyDocument(BaseModel):
    """Whether messages get through broker and worker; if not, why."""

    ready: bool
    reason: str
    heartbeat_age_seconds: float | None


@router.get("/healthz")
async def healthz() -> HealthDocument:
    """Whether this process works; it asks nobody else. Needs no token."""
    return HealthDocument(status="ok")


@router.get("/readyz", responses={503: {"model": ReadyDocument, "description": "Messages do not get through."}})
async def readyz(desk: TheDesk, response: Response) -> ReadyDocument:
    """Whether a heartbeat came through broker and worker in the last 30 seconds; if not, one is asked for.

    May take some seconds. Needs no token.
    """
    found = await desk.readiness.look()
    if not found.ready:
        response.status_code = 503
    age = found.heartbeat_age
    return ReadyDocument(
        ready=found.ready,
        reason=found.reason,
        heartbeat_age_seconds=None if age is None else round(age.total_seconds(), 3),
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={**PROBLEMS, 200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}},
)
async def metrics(request: Request, desks: TheDesks, who: Known) -> Response:
    """Figures for Prometheus: of every account that the token may see, or of the one that the address names."""
    names = [name for name in await desks.names() if who.may_see(name)]
    if is_named(request):
        names = [name for name in names if name == account_of(request)]
    read = [await desks.of(name) for name in names]
    return Response(await metrics_text([desk.messages for desk in read]), media_type=CONTENT_TYPE_LATEST)

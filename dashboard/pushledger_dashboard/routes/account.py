"""The account: how it stands, its pause, what people did, what the intake refused, live events."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pushledger.jobs import check_local_id
from pydantic import BaseModel

from pushledger_dashboard.access import Operator, Reader
from pushledger_dashboard.desk import TheDesk
from pushledger_dashboard.documents import AuditDocument, MessageDocument, PauseBody, SampleDocument, WhyBody
from pushledger_dashboard.overview import OverviewDocument, PauseDocument
from pushledger_dashboard.problems import PROBLEMS
from pushledger_dashboard.routes.messages import Limit

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["account"], responses=PROBLEMS)


class AuditAnswer(BaseModel):
    """What people did, newest first: the last 10,000 entries are kept."""

    entries: list[AuditDocument]


class HistoryAnswer(BaseModel):
    """The counters as they stood each minute, oldest first."""

    samples: list[SampleDocument]


class RefusedAnswer(BaseModel):
    """Jobs that the intake refused, newest first, without their texts and visitors."""

    jobs: list[dict[str, object]]


class WarningsAnswer(BaseModel):
    """What the ledger's server is set to that could lose accepted messages; empty when all is well."""

    warnings: list[str]


class PausedAnswer(BaseModel):
    """The pause that stands now."""

    pause: PauseDocument | None


@router.get("/overview")
async def get_overview(desk: TheDesk, who: Reader) -> OverviewDocument:
    """Counts, pause, budget, forecast, oldest due message, throughput; at most a second old."""
    return await desk.overview.document()


@router.get("/history")
async def get_history(desk: TheDesk, who: Reader, minutes: Annotated[int, Query(ge=1, le=1440)] = 60) -> HistoryAnswer:
    """A sample of the counters for each minute in which a worker ran."""
    return HistoryAnswer(samples=[SampleDocument.of(one) for one in await desk.messages.history(minutes)])


@router.get("/audit")
async def get_audit(
    desk: TheDesk, who: Reader, limit: Limit = 100, skip: Annotated[int, Query(ge=0, le=10_000)] = 0
) -> AuditAnswer:
    """What people did, by whom and why."""
    return AuditAnswer(entries=[AuditDocument.of(one) for one in await desk.messages.audit(limit, skip)])


@router.get("/refused")
async def get_refused(desk: TheDesk, who: Reader, limit: Limit = 100) -> RefusedAnswer:
    """Jobs that came as Celery tasks and were refused."""
    return RefusedAnswer(jobs=await desk.messages.refused(limit))


@router.get("/check")
async def check(desk: TheDesk, who: Reader) -> WarningsAnswer:
    """Whether the ledger's server is set to keep what was accepted."""
    return WarningsAnswer(warnings=await desk.messages.server_warnings())


@router.post("/pause")
async def pause(body: PauseBody, desk: TheDesk, who: Operator) -> PausedAnswer:
    """Pause the whole account; calls in the air end as usual."""
    duration = {} if body.seconds is None else {"duration": timedelta(seconds=body.seconds)}
    await desk.messages.pause(**duration, reason=body.reason, by=who.name, why=body.why)
    return await _paused(desk)


@router.post("/resume")
async def resume(body: WhyBody, desk: TheDesk, who: Operator) -> PausedAnswer:
    """End whatever pause stands."""
    await desk.messages.resume(by=who.name, why=body.why)
    return await _paused(desk)


async def _paused(desk: TheDesk) -> PausedAnswer:
    pause = (await desk.messages.account()).pause
    return PausedAnswer(pause=pause and PauseDocument(until=pause.until, reason=pause.reason, trouble=pause.trouble))


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def events(
    desk: TheDesk,
    who: Reader,
    local_id: Annotated[str | None, Query(min_length=1, max_length=512, description="Of one message.")] = None,
) -> StreamingResponse:
    """Server-sent events: `overview` whenever the account has changed, or `message` whenever that message has.

    `away`: the ledger does not answer just now. `gone`: there is no such message. A stream lasts ten minutes.
    """
    if local_id is None:
        stream = desk.live.stream("overview", desk.overview.document)
    else:
        check_local_id(local_id)

        async def read() -> MessageDocument | None:
            message = await desk.messages.get(local_id)
            return None if message is None else MessageDocument.of(message, None, who.sees_texts)

        stream = desk.live.stream("message", read)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

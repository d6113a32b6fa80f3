"""Jobs: what a shop in any language enqueues."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pushledger.errors import InvalidJob, RefusedJob
from pushledger.jobs import Job, Verb, job_from_json
from pushledger.message import Receipt
from pydantic import BaseModel

from pushledger_dashboard.access import Operator, Principal
from pushledger_dashboard.desk import Desk, TheDesk
from pushledger_dashboard.documents import CreateBody, DeleteBody, JobsBody, ReceiptDocument, UpdateBody
from pushledger_dashboard.problems import PROBLEMS, ProblemDocument, problem_of

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["jobs"], responses=PROBLEMS)


class JobAnswer(BaseModel):
    """A receipt, or why the job was refused."""

    receipt: ReceiptDocument | None = None
    problem: ProblemDocument | None = None


class JobsDocument(BaseModel):
    """An answer for each job, in their order."""

    answers: list[JobAnswer]


def _job(verb: Verb, body: BaseModel) -> Job:
    values = body.model_dump(exclude_none=True, exclude={"verb"})
    return job_from_json(verb, values)


async def _recorded(desk: Desk, who: Principal, job: Job) -> ReceiptDocument:
    answer = (await desk.messages.submit([job], by=who.name, audited=who.is_person))[0]
    if isinstance(answer, RefusedJob):
        raise answer
    return _receipt(answer)


def _receipt(receipt: Receipt) -> ReceiptDocument:
    return ReceiptDocument(local_id=receipt.local_id, revision=receipt.revision, outcome=receipt.outcome)


@router.post("/messages/create")
async def create(body: CreateBody, desk: TheDesk, who: Operator) -> ReceiptDocument:
    """Show a new message to a visitor."""
    return await _recorded(desk, who, _job("create", body))


@router.post("/messages/update")
async def update(body: UpdateBody, desk: TheDesk, who: Operator) -> ReceiptDocument:
    """Change the text of a message in place."""
    return await _recorded(desk, who, _job("update", body))


@router.post("/messages/upsert")
async def upsert(body: CreateBody, desk: TheDesk, who: Operator) -> ReceiptDocument:
    """Create the message, or change its text if it is there."""
    return await _recorded(desk, who, _job("upsert", body))


@router.post("/messages/delete")
async def delete(body: DeleteBody, desk: TheDesk, who: Operator) -> ReceiptDocument:
    """Take a message away."""
    return await _recorded(desk, who, _job("delete", body))


@router.post("/jobs")
async def submit(body: Annotated[JobsBody, Body()], desk: TheDesk, who: Operator) -> JobsDocument:
    """Record up to 500 jobs at once; a refusal of one does not stop the others, a malformed one stops all."""
    jobs = []
    for number, one in enumerate(body.jobs):
        try:
            jobs.append(_job(one.verb, one))
        except InvalidJob as error:
            raise InvalidJob(f"jobs.{number}.{error.field}", error.rule) from None
    answers = await desk.messages.submit(jobs, by=who.name, audited=who.is_person)
    return JobsDocument(answers=[_answer(one) for one in answers])


def _answer(answer: Receipt | RefusedJob) -> JobAnswer:
    if isinstance(answer, Receipt):
        return JobAnswer(receipt=_receipt(answer))
    problem = problem_of(answer)
    return JobAnswer(problem=problem.document if problem else None)

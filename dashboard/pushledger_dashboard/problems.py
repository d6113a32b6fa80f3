"""Errors as problem details (RFC 9457, application/problem+json)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pushledger.errors import (
    BacklogFull,
    InvalidJob,
    LedgerUnavailable,
    RefusedDecision,
    RefusedJob,
    UnknownLocalId,
)
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

__all__ = ["PROBLEMS", "Problem", "ProblemDocument", "add_problem_handlers", "problem_of", "problem_response"]

log = logging.getLogger(__name__)


class ProblemDocument(BaseModel):
    """What went wrong, as RFC 9457 has it; ``field`` and ``rule`` say which value and what it must be."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = None
    rule: str | None = None
    local_id: str | None = None
    errors: list[dict[str, str]] | None = Field(None, description="Each wrong value of a request: field and rule.")


_SCHEMA = {"$ref": "#/components/schemas/ProblemDocument"}
PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"description": description, "content": {"application/problem+json": {"schema": _SCHEMA}}}
    for status, description in {
        400: "The request cannot be read.",
        401: "No valid token or session.",
        403: "The role, the CSRF token or the origin does not fit.",
        404: "There is no such message.",
        409: "It does not fit what the ledger holds.",
        413: "The body is too large.",
        422: "A value breaks a rule.",
        429: "Too many wrong tokens.",
        503: "The ledger does not answer, or its backlog is full; repeat it later.",
    }.items()
}


class Problem(Exception):
    """An error of the dashboard's own, with its status."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        rule: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.document = ProblemDocument(
            title=HTTPStatus(status).phrase, status=status, detail=detail, field=field, rule=rule
        )
        self.headers = dict(headers or {})


def problem_of(error: Exception) -> Problem | None:
    """What an error means for whoever asked; None if it is a bug."""
    match error:
        case Problem():
            return error
        case InvalidJob():
            return Problem(422, str(error), field=error.field, rule=error.rule)
        case BacklogFull():
            return _of_a_message(Problem(503, str(error), headers={"Retry-After": "60"}), error)
        case RefusedJob():
            return _of_a_message(Problem(404 if isinstance(error, UnknownLocalId) else 409, str(error)), error)
        case RefusedDecision():
            found = Problem(409, str(error), field="local_id", rule=error.reason)
            found.document.local_id = error.local_id
            return found
        case LedgerUnavailable():
            detail = "the ledger does not answer; repeat the request, a job with the same job_id"
            return Problem(503, detail, headers={"Retry-After": "2"})
        case RequestValidationError():
            return _of_invalid(error)
        case HTTPException():
            return Problem(error.status_code, str(error.detail), headers=error.headers)
        case _:
            return None


def _of_a_message(problem: Problem, error: RefusedJob) -> Problem:
    document = problem.document
    document.type = f"urn:pushledger:{type(error).__name__}"
    document.field, document.rule, document.local_id = error.field, error.rule, error.local_id
    return problem


def problem_response(problem: Problem) -> JSONResponse:
    """The answer that says so."""
    document = problem.document
    content = document.model_dump(exclude_none=True)
    return JSONResponse(content, document.status, problem.headers, media_type="application/problem+json")


def _of_invalid(error: RequestValidationError) -> Problem:
    # The values themselves are left out: they may be texts and visitors.
    errors = [
        {"field": ".".join(str(part) for part in one["loc"][1:]), "rule": str(one["msg"])} for one in error.errors()
    ]
    first = errors[0] if errors else {"field": "", "rule": "cannot be read"}
    problem = Problem(422, f"{first['field']}: {first['rule']}", field=first["field"], rule=first["rule"])
    problem.document.errors = errors
    return problem


def wait_header(seconds: float) -> dict[str, str]:
    """When to try again."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def add_problem_handlers(app: FastAPI, answer: Callable[[Request, Problem], Response]) -> None:
    """Let every error of the app be answered with the problem that it means."""

    async def handle(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem is None:
            raise error
        if isinstance(error, LedgerUnavailable):
            # What the server said is for whoever runs it: it may name hosts, users and rights.
            log.warning("the ledger did not answer: %s", error, extra={"action": "ledger_away"})
        return answer(request, problem)

    async def bug(request: Request, error: Exception) -> Response:
        return answer(request, Problem(500, "the dashboard failed; its log says how"))

    for kind in (
        Problem,
        InvalidJob,
        RefusedJob,
        RefusedDecision,
        LedgerUnavailable,
        RequestValidationError,
        HTTPException,
    ):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(Exception, bug)

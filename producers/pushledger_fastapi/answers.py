"""Answers for what pushledger raises in a route: 422 for bad input, 409 for what does not fit, 503 while Redis is away.

Their body is ``{"detail": …, "field": …, "rule": …}``; what a 503 holds says nothing of the server.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pushledger import InvalidJob, LedgerUnavailable, RefusedJob

__all__ = ["add_error_handlers"]

_RETRY_AFTER = "5"


def add_error_handlers(app: FastAPI) -> None:
    """Let an app answer so; routes may still catch what they want to answer themselves."""
    app.add_exception_handler(InvalidJob, _invalid)
    app.add_exception_handler(RefusedJob, _refused)
    app.add_exception_handler(LedgerUnavailable, _unavailable)


def _invalid(request: Request, error: Exception) -> JSONResponse:
    return _told(422, error)


def _refused(request: Request, error: Exception) -> JSONResponse:
    return _told(409, error)


def _told(status: int, error: Exception) -> JSONResponse:
    told = {"field": error.field, "rule": error.rule} if isinstance(error, InvalidJob | RefusedJob) else {}
    return JSONResponse({"detail": str(error), **told}, status)


def _unavailable(request: Request, error: Exception) -> JSONResponse:
    detail = "messages cannot be taken just now; repeat the request later"
    return JSONResponse({"detail": detail}, 503, {"retry-after": _RETRY_AFTER})

"""Errors as pages, for browsers; programs get the problem document."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from pushledger_dashboard.access import access_of
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.pages.login import login_address
from pushledger_dashboard.problems import Problem, problem_response
from pushledger_dashboard.views.errors import error_view

__all__ = ["answer_problem"]

_FOR_PROGRAMS = ("/v1/", "/metrics", "/healthz", "/readyz", "/openapi.json", "/static/")


def answer_problem(request: Request, problem: Problem) -> Response:
    """The problem as whoever asked can read it; who must log in first is led there."""
    is_browser = "text/html" in request.headers.get("accept", "") and "authorization" not in request.headers
    if not is_browser:
        return problem_response(problem)
    if problem.document.status == 401 and request.method == "GET":
        return RedirectResponse(login_address(request), 303)
    if request.url.path.startswith(_FOR_PROGRAMS):
        return problem_response(problem)
    return _error_page(request, problem)


def _error_page(request: Request, problem: Problem) -> Response:
    view = error_view(problem.document.status, problem.document.detail, request.method == "GET")
    who = None
    if problem.document.status != 401:
        try:
            who = access_of(request).principal(request)
        except Problem:
            who = None
    answer = page(request, "error.html", who, status=problem.document.status, title=view.title, view=view)
    answer.headers.update(problem.headers)
    return answer

"""The pages that log in and out."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from pushledger_dashboard.access import Access, Reader, access_of, form_of
from pushledger_dashboard.addresses import within
from pushledger_dashboard.pages.frame import page
from pushledger_dashboard.problems import Problem

__all__ = ["LOGIN", "login_address", "router"]

LOGIN = "/login"

router = APIRouter()


def login_address(request: Request) -> str:
    """Where to log in, to come back to what was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{LOGIN}?next={quote(asked, safe='')}" if request.method == "GET" and asked != "/" else LOGIN


@router.get(LOGIN)
async def login_page(request: Request) -> Response:
    """The page to log in."""
    access = access_of(request)
    asked = within(request.query_params.get("next", "/"))
    if access.is_open:
        return RedirectResponse(asked, 303)
    return page(request, "login.html", None, title="Log in", next=asked, error="")


@router.post(LOGIN)
async def log_in(request: Request) -> Response:
    """Begin a session with a token."""
    access, fields = access_of(request), await form_of(request)
    asked = within(fields.get("next", "/"))
    if not access.is_of_this_site(request):
        raise Problem(403, "origin: a page of another site may not do this")
    if access.is_open:
        return RedirectResponse(asked, 303)
    try:
        token = access.token_of(request, fields.get("token", "").strip())
    except Problem as problem:
        said = problem.document
        answer = page(request, "login.html", None, status=said.status, title="Log in", next=asked, error=said.detail)
        answer.headers.update({name: value for name, value in problem.headers.items() if name == "Retry-After"})
        return answer
    response = RedirectResponse(asked, 303)
    _set_cookie(request, response, access, access.sessions.begin(token), int(access.session_for.total_seconds()))
    return response


@router.post("/logout")
async def log_out(request: Request, who: Reader) -> Response:
    """End the session."""
    access, response = access_of(request), RedirectResponse(LOGIN, 303)
    if who.session is not None:
        access.sessions.end(who.session)
        _set_cookie(request, response, access, "", 0)
    return response


def _set_cookie(request: Request, response: Response, access: Access, value: str, seconds: int) -> None:
    response.set_cookie(
        access.cookie_name(request),
        value,
        max_age=seconds,
        path="/",
        secure=access.is_secure(request),
        httponly=True,
        samesite="lax",
    )

"""Pages for people: how one is made, and those that log in and out.

A page is a template that extends ``frame.html``; ``page(request, "name.html", who, title=…)`` fills it. Everything put
into it is escaped. Scripts and styles are files under ``static/``: the browser runs no others.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pushledger_dashboard.access import Access, Principal, Reader, access_of, form_of
from pushledger_dashboard.desk import TheDesk
from pushledger_dashboard.problems import Problem

__all__ = ["LOGIN", "page", "router"]

LOGIN = "/login"
_HERE = Path(__file__).parent
_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)

router = APIRouter(include_in_schema=False)


def page(
    request: Request, template: str, who: Principal | None, *, status: int = 200, **values: object
) -> HTMLResponse:
    """A page. The template sees ``who``, ``account``, ``csrf_token`` and ``path`` besides the values given."""
    common = {
        "who": who,
        "account": request.app.state.desk.settings.account,
        "csrf_token": who.csrf_token if who else "",
        "path": request.url.path,
    }
    return HTMLResponse(_TEMPLATES.get_template(template).render(**common, **values), status)


def login_address(request: Request) -> str:
    """Where to log in, to come back to what was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{LOGIN}?next={quote(asked, safe='')}" if request.method == "GET" and asked != "/" else LOGIN


def _within(asked: str) -> str:
    """The address if it is one of this site, else the first page."""
    parts = urlsplit(asked) if asked.isprintable() else None
    is_ours = parts is not None and not parts.scheme and not parts.netloc and "\\" not in asked
    return asked if is_ours and asked.startswith("/") and not asked.startswith("//") else "/"


@router.get("/")
async def home(request: Request, desk: TheDesk, who: Reader) -> HTMLResponse:
    """The first page: how the account stands."""
    return page(request, "home.html", who, title="Overview", overview=await desk.overview.document())


@router.get(LOGIN)
async def login_page(request: Request) -> Response:
    """The page to log in."""
    access = access_of(request)
    asked = _within(request.query_params.get("next", "/"))
    if access.is_open:
        return RedirectResponse(asked, 303)
    return page(request, "login.html", None, title="Log in", next=asked, error="")


@router.post(LOGIN)
async def log_in(request: Request) -> Response:
    """Begin a session with a token."""
    access, fields = access_of(request), await form_of(request)
    asked = _within(fields.get("next", "/"))
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

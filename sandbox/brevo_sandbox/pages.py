"""The page a person looks at: who was written to, and each visitor's chat as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, request_response

from brevo_sandbox.messages import agent_name
from brevo_sandbox.routes import REST, Below
from brevo_sandbox.state import Sandbox

MOST_VISITORS = 200
_READ = frozenset({"GET", "HEAD"})
_STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
_HEADERS = {
    "content-security-policy": ("default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def page_routes(sandbox: Sandbox) -> list[BaseRoute]:
    """List the routes of the page over one sandbox."""
    pages = _Pages(sandbox)
    return [
        Route("/", pages.overview),
        Below("/visitor/", request_response(pages.visitor), _READ),
        *(_static(name, media_type) for name, media_type in _STATIC.items()),
    ]


def _static(name: str, media_type: str) -> Route:
    content = files("brevo_sandbox").joinpath("static", name).read_bytes()

    async def served(request: Request) -> Response:
        return Response(content, 200, _HEADERS, media_type)

    return Route(f"/static/{name}", served)


class _Pages:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._templates = Environment(
            loader=PackageLoader("brevo_sandbox"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._templates.filters.update(
            instant=_instant, clock=_clock, segment=_segment, agent=agent_name, figure=_figure
        )

    async def overview(self, request: Request) -> Response:
        wanted = request.query_params.get("q", "").strip()
        visitors = [visitor for visitor in self._sandbox.store.visitors() if wanted in visitor.id]
        visitors.sort(key=lambda visitor: visitor.last_at, reverse=True)
        rate, quota = self._sandbox.rate, self._sandbox.quota()
        return self._render(
            "overview.html",
            visitors=visitors[:MOST_VISITORS],
            found=len(visitors),
            wanted=wanted,
            rate="off" if rate is None else str(rate),
            remaining="no limit" if quota is None else str(quota.remaining),
            stats=self._sandbox.journal.stats(),
            faults=_fault_lines(self._sandbox),
        )

    async def visitor(self, request: Request) -> Response:
        visitor_id = str(request.path_params[REST])
        store = self._sandbox.store
        return self._render("visitor.html", visitor=store.visitor(visitor_id), chat=store.chat(visitor_id))

    def _render(self, template: str, **values: object) -> Response:
        page = self._templates.get_template(template).render(values)
        return Response(page.encode("utf-8", "replace"), 200, _HEADERS, "text/html")


def _fault_lines(sandbox: Sandbox) -> Sequence[str]:
    by_chance = [
        f"{chance.fault.kind.value} {chance.probability:.1%}" for chance in sandbox.faults.chances if chance.probability
    ]
    scripted = [
        f"{entry.fault.kind.value} ({'all' if entry.times is None else f'next {entry.times}'})"
        for entry in sandbox.faults.script
    ]
    return by_chance + scripted


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _instant(milliseconds: int) -> str:
    return _moment(milliseconds).isoformat(timespec="milliseconds")


def _clock(milliseconds: int) -> str:
    return _moment(milliseconds).strftime("%H:%M:%S UTC")


def _segment(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _figure(number: int) -> str:
    return f"{number:,}"

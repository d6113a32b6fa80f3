"""The pages a person looks at: visitors and their chats as they are now, agents, switches, and the webhook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, request_response

from brevo_sandbox.routes import REST, Below
from brevo_sandbox.rules import Rules
from brevo_sandbox.state import Sandbox
from brevo_sandbox.wire import Json

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
        Route("/agents", pages.agents),
        Route("/switches", pages.switches),
        Route("/webhook", pages.webhook),
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
        self._templates.filters.update(instant=_instant, clock=_clock, segment=_segment, figure=_figure)

    async def overview(self, request: Request) -> Response:
        wanted = request.query_params.get("q", "").strip()
        visitors = [visitor for visitor in self._sandbox.store.visitors() if wanted in visitor.id]
        visitors.sort(key=lambda visitor: visitor.last_at, reverse=True)
        rate, quota, now = self._sandbox.rate, self._sandbox.quota(), self._sandbox.clock()
        return self._render(
            request,
            "overview.html",
            visitors=visitors[:MOST_VISITORS],
            found=len(visitors),
            wanted=wanted,
            rate="off" if rate is None else str(rate),
            remaining="no limit" if quota is None else str(quota.remaining),
            stats=self._sandbox.journal.stats(),
            faults=_fault_lines(self._sandbox),
            online=[each.agent.name for each in self._sandbox.agents.presences() if each.online(now)],
        )

    async def visitor(self, request: Request) -> Response:
        visitor_id = str(request.path_params[REST])
        store = self._sandbox.store
        return self._render(request, "visitor.html", visitor=store.visitor(visitor_id), chat=store.chat(visitor_id))

    async def agents(self, request: Request) -> Response:
        now = self._sandbox.clock()
        presences = sorted(self._sandbox.agents.presences(), key=lambda each: each.online_until, reverse=True)
        return self._render(request, "agents.html", agents=[presence.as_json(now) for presence in presences])

    async def switches(self, request: Request) -> Response:
        defaults, now = Rules().as_json(), self._sandbox.rules.as_json()
        rows = [Switch(name, _written(value), _written(defaults[name])) for name, value in now.items()]
        return self._render(request, "switches.html", switches=rows, faults=_fault_lines(self._sandbox))

    async def webhook(self, request: Request) -> Response:
        return self._render(request, "webhook.html", hook=self._sandbox.webhooks.as_json())

    def _render(self, request: Request, template: str, **values: object) -> Response:
        page = self._templates.get_template(template).render(values, here=request.url.path)
        return Response(page.encode("utf-8", "replace"), 200, _HEADERS, "text/html")


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch as a line of the page."""

    name: str
    value: str
    default: str

    @property
    def turned(self) -> bool:
        """Whether it is not at its default."""
        return self.value != self.default


def _written(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


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

"""How a page is made: a template that extends ``frame.html``, filled with escaped values."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pushledger_dashboard.access import Principal
from pushledger_dashboard.addresses import address, within
from pushledger_dashboard.switch import account_of, under
from pushledger_dashboard.views.words import numbered, visible

__all__ = ["page"]

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(visible=visible, numbered=numbered)
_TEMPLATES.globals.update(address=address)

_NAVIGATION = (
    ("/", "Overview"),
    ("/messages", "Messages"),
    ("/bulk", "Bulk"),
    ("/account", "Account"),
    ("/audit", "Audit"),
)


def page(
    request: Request, template: str, who: Principal | None, *, status: int = 200, **values: object
) -> HTMLResponse:
    """A page. The template sees ``who``, ``may_act``, ``account``, ``csrf_token`` and ``path`` besides the values."""
    common = {
        "who": who,
        "may_act": who is not None and who.role == "operate",
        "account": account_of(request),
        "csrf_token": who.csrf_token if who else "",
        "path": request.url.path,
        "here": within(request.url.path + (f"?{request.url.query}" if request.url.query else "")),
        "navigation": _NAVIGATION,
        "notice": "",
        "alert": "",
        "events": "",
    }
    html = _TEMPLATES.get_template(template).render({**common, **values})
    return HTMLResponse(under(request, html), status)

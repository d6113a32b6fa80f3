"""Which account a request is about: the address says it, as ``/accounts/NAME/…``; without that it is the settings' own.

Inside, routes and pages know one address for each thing; the name is taken off where a request comes in, and put before
the addresses of a page or a redirection where it goes out.
"""

from __future__ import annotations

import re

from fastapi import Request
from pushledger.settings import is_account_name
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Switch", "account_of", "is_named", "under"]

_SCOPE = "pushledger.account"
_ADDRESS = re.compile(r"/accounts/([^/]+)(/.*)?", re.DOTALL)
# Jinja escapes quotes, so no value that a page shows can look like this.
_LINKS = re.compile(r'( (?:href|action|data-events)=")(?=/(?!accounts|static/))')


class Switch:
    """Takes the account off the address of a request, and puts it before that of a redirection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        found = _ADDRESS.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None or not is_account_name(found[1]):
            return await self._app(scope, receive, send)
        name, path = found[1], found[2] or "/"

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                location = headers.get("location", "")
                if location.startswith("/") and not location.startswith("//"):
                    headers["location"] = f"/accounts/{name}{location}"
            await send(message)

        inner = {**scope, "path": path, "raw_path": path.encode(), _SCOPE: name}
        return await self._app(inner, receive, named)


def account_of(request: Request) -> str:
    """The account that the request is about."""
    account: str = request.scope.get(_SCOPE) or request.app.state.desks.home
    return account


def is_named(request: Request) -> bool:
    """Whether the address names the account."""
    return _SCOPE in request.scope


def under(request: Request, html: str) -> str:
    """A page whose links and forms stay with the account of the request."""
    account = request.scope.get(_SCOPE)
    return _LINKS.sub(rf"\1/accounts/{account}", html) if account else html

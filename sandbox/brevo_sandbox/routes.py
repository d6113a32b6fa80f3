"""A route for everything below a prefix, whatever characters follow.

The path patterns of the framework stop at a line break, which an id may hold.
"""

from __future__ import annotations

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

REST = "rest"


class Below(BaseRoute):
    """Hands every request whose path starts with `prefix` to `app`, the rest of the path as a parameter."""

    def __init__(self, prefix: str, app: ASGIApp, methods: frozenset[str] | None = None) -> None:
        self._prefix = prefix
        self._app = app
        self._methods = methods

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compare the start of the path, and the method where only some are served."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not isinstance(path, str) or not path.startswith(self._prefix):
            return Match.NONE, {}
        if self._methods is not None and scope["method"] not in self._methods:
            return Match.NONE, {}
        return Match.FULL, {"path_params": {REST: path[len(self._prefix) :]}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self._app(scope, receive, send)

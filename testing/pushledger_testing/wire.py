"""The way from the worker's client to the sandbox without a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

import httpx
from brevo_sandbox import Sandbox, create_app

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    _App = Callable[
        [
            MutableMapping[str, Any],
            Callable[[], Awaitable[MutableMapping[str, Any]]],
            Callable[[MutableMapping[str, Any]], Awaitable[None]],
        ],
        Awaitable[None],
    ]

__all__ = ["Wire"]


class Wire(httpx.AsyncBaseTransport):
    """Hands requests to the sandbox's app. The client judges by what has left it, not by the name of an error, so it is
    told when a request leaves, as a real connection does."""

    def __init__(self, sandbox: Sandbox, is_cut: Callable[[], bool]) -> None:
        self._app = httpx.ASGITransport(cast("_App", create_app(sandbox)))
        self._is_cut = is_cut

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Take one request to its end."""
        if self._is_cut():
            raise httpx.ConnectError("no connection to the API could be had")
        trace = cast("Callable[[str, dict[str, object]], Awaitable[None]] | None", request.extensions.get("trace"))
        if trace is not None:
            await trace("http11.send_request_headers.started", {"request": request})
        return await self._app.handle_async_request(request)

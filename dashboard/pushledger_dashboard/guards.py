"""What stands before every route: the Host header, the size of a body, and headers that bind the browser."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pushledger_dashboard.problems import Problem, problem_response

__all__ = ["LARGEST_BODY", "Guard"]

LARGEST_BODY = 8 * 1024 * 1024
_TOO_LARGE = f"the body: must be at most {LARGEST_BODY} bytes"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Refuses what is too large or asked under a foreign name, and marks every answer.

    ``hosts`` are the names under which it may be asked, without ports; None: any. A page of another site whose name
    is made to point here would otherwise be the same site to the browser.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers, size = Headers(scope=scope), 0

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer[name] = value
                answer.setdefault("Cache-Control", "no-store")
            await send(message)

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise HTTPException(413, _TOO_LARGE)  # whoever reads the body lets this kind through
            return message

        refused = self._refused(headers)
        if refused is not None:
            return await problem_response(refused)(scope, receive, marked)
        return await self._app(scope, counted, marked)

    def _refused(self, headers: Headers) -> Problem | None:
        if self._hosts is not None and host_name(headers.get("host", "")) not in self._hosts:
            return Problem(403, "host: without tokens, the dashboard answers only as localhost", field="host")
        length = headers.get("content-length", "0")
        return Problem(413, _TOO_LARGE) if length.isdigit() and int(length) > LARGEST_BODY else None


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name = host.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]

"""The API on the wire: reads requests, waits where a fault says so, answers, drops, or keeps silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from brevo_sandbox.endings import Drop, Hang, Reply
from brevo_sandbox.incoming import Incoming
from brevo_sandbox.state import Exchange, Sandbox

DROP_EXTENSION = "brevo_sandbox.drop"
"""Where the server leaves a function that drops the connection; it is told whether to do so abruptly."""


class ConnectionDroppedError(ConnectionResetError):
    """The sandbox dropped the connection; raised only where no server of ours holds a real one."""


class Api:
    """The ASGI application under `/v3`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request to its end."""
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        query = bytes(scope.get("query_string", b"")).decode("latin-1")
        request = Incoming.read(scope["method"], scope["path"], query, scope["headers"], body)
        exchange = self._sandbox.begin(request)
        status: int | None = None
        try:
            status = await self._live_through(exchange, scope, receive, send)
        finally:
            self._sandbox.finish(exchange, status)

    async def _live_through(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> int | None:
        if exchange.verdict.delay:
            await asyncio.sleep(exchange.verdict.delay)
        course = self._sandbox.carry_out(exchange)
        if course.late_after is not None:
            asyncio.get_running_loop().call_later(course.late_after, self._sandbox.carry_out_late, exchange)
        match course.ending:
            case Reply() as reply:
                await self._send(exchange, reply, send)
                return reply.status
            case Hang(seconds):
                await _hang(seconds, scope, receive)
            case Drop(abruptly):
                await _drop(abruptly, scope, receive)
        return None

    async def _send(self, exchange: Exchange, reply: Reply, send: Send) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
        if reply.status != 204:
            if reply.content_type is not None:
                headers.append((b"content-type", reply.content_type.encode("latin-1")))
            headers.append((b"content-length", b"%d" % len(reply.body)))
        headers.extend(self._rate_headers(exchange, reply))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if reply.status == 204 else reply.body})

    def _rate_headers(self, exchange: Exchange, reply: Reply) -> list[tuple[bytes, bytes]]:
        if not self._sandbox.rules.rate_headers:
            return []
        quota = self._sandbox.quota(exchange.request)
        limit, remaining, reset = (None, None, None) if quota is None else (quota.limit, quota.remaining, quota.reset)
        if reply.reset is not None:
            limit, remaining, reset = limit or 100, 0, reply.reset
        if limit is None:
            return []
        return [
            (b"x-sib-ratelimit-limit", b"%d" % limit),
            (b"x-sib-ratelimit-remaining", b"%d" % (remaining or 0)),
            (b"x-sib-ratelimit-reset", b"%d" % (reset or 0)),
        ]


async def _hang(seconds: float, scope: Scope, receive: Receive) -> None:
    try:
        async with asyncio.timeout(seconds):
            await _gone(receive)
    except TimeoutError:
        await _drop(False, scope, receive)


async def _drop(abruptly: bool, scope: Scope, receive: Receive) -> None:
    drop: Callable[[bool], None] | None = scope.get("extensions", {}).get(DROP_EXTENSION)
    if drop is None:
        raise ConnectionDroppedError("the sandbox dropped the connection")
    drop(abruptly)
    # The server writes a 500 for an application that returns without an answer while it still
    # believes the caller to be there.
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

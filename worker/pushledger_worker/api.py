"""The one place that talks HTTP: performs a call and says, by evidence, in which phase it ended."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from pushledger.errors import SettingsError
from pushledger.jobs import Kind
from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from pushledger_worker.answer import Answer, Answered, Dropped, NotSent, Unanswered
from pushledger_worker.plan import Call, Edit, Ping, Probe, Remove, Send

__all__ = ["Api"]

# httpx logs each URL at INFO, and an edit's URL holds the message id.
logging.getLogger("httpx").setLevel(logging.WARNING)

# httpx's pool is linear in open connections (encode/httpx#3215): each call in the air has a pool of its own.
ONE_CONNECTION = httpx.Limits(max_connections=1, max_keepalive_connections=1)
QUICK_TRIES = 3
LAST_LOOK = 0.05  # seconds before a call's end: a process that wakes up after it still reads what has come meanwhile
# The content type is asked for on every request, with a body or without ("Key concepts" of the reference).
_HEADERS = [(b"accept", b"application/json"), (b"user-agent", b"pushledger"), (b"content-type", b"application/json")]
_COLLECTIONS: dict[Kind, str] = {"pushed": "pushedMessages", "agent": "messages"}


class _NoConnection(Exception):
    """The connection could not be had; worth a quick retry inside the call."""


class _Phase:
    """Watches httpcore's own events: a request has left, in part at least, once its headers begin to be sent.

    What an exception is called says nothing of the phase (R10): the same ConnectTimeout may be raised before or
    after, by other transports. A CONNECT to a proxy is part of having a connection. The status is an answer by
    itself: what becomes of its body cannot make a create unknown that is known to have happened (R9).
    """

    def __init__(self) -> None:
        self.sent = False
        self.answered: Answered | None = None

    async def trace(self, event: str, info: Mapping[str, object]) -> None:
        if event.endswith("send_request_headers.started"):
            self.sent = self.sent or getattr(info.get("request"), "method", b"") != b"CONNECT"


class Api:
    """A client of the Conversations API for one event loop.

    ``clock`` must go on while the machine sleeps (CLOCK_BOOTTIME), in seconds.
    """

    def __init__(
        self,
        base_url: str,
        key: Callable[[], SecretStr],
        call_timeout: timedelta,
        clock: Callable[[], float],
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._call_timeout = call_timeout.total_seconds()
        self._clock = clock
        # Connecting ends by itself before the call does: httpcore leaks a socket whose TLS handshake is cancelled.
        connect = self._call_timeout / (QUICK_TRIES + 1)
        self._timeouts = httpx.Timeout(None, connect=connect).as_dict()
        self._make_transport = transport or _transports(base_url)
        self._transports: list[httpx.AsyncBaseTransport] = []
        self._idle: list[httpx.AsyncBaseTransport] = []

    def _free_transport(self) -> httpx.AsyncBaseTransport:
        if self._idle:
            return self._idle.pop()
        self._transports.append(self._make_transport())
        return self._transports[-1]

    async def perform(self, call: Call, send_by: float) -> Answer:
        """Make the call unless ``send_by`` (on the clock) has passed; never raises for what the network does.

        One time-out spans all of it: waiting for a connection, quick retries, the answer's body.
        """
        phase = _Phase()
        try:
            async with _timeout(self._call_timeout):
                return await self._with_quick_retries(call, send_by, phase)
        except (_NoConnection, SettingsError) as error:  # the key's file may be away, and is read before each send
            return NotSent(str(error))
        except TimeoutError:
            if phase.answered:
                return phase.answered
            return Unanswered("no answer in time") if phase.sent else NotSent("no connection in time")

    async def _with_quick_retries(self, call: Call, send_by: float, phase: _Phase) -> Answer:
        try:
            return await self._once(call, send_by, phase)
        except _NoConnection:
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(_NoConnection),
                wait=wait_exponential(multiplier=0.1, max=1) + wait_random(0, 0.1),
                stop=stop_after_attempt(QUICK_TRIES - 1),
                reraise=True,
            )
            await asyncio.sleep(0.1)
            return await retrying(self._once, call, send_by, phase)

    async def _once(self, call: Call, send_by: float, phase: _Phase) -> Answer:
        request = self._request(call, phase)
        if self._clock() > send_by:
            return Dropped()
        transport = self._free_transport()
        try:
            response = await transport.handle_async_request(request)
            phase.answered = _read(response)
            async with aclosing(response):
                return replace(phase.answered, body=_read_body(await response.aread()))
        except Exception as error:  # of whatever type: the phase decides, not the name (R10)
            if phase.answered:
                return phase.answered
            if phase.sent:
                return Unanswered(type(error).__name__)
            raise _NoConnection(f"{type(error).__name__}: {error}") from error
        finally:
            self._idle.append(transport)

    def _request(self, call: Call, phase: _Phase) -> httpx.Request:
        body: bytes | None = None
        match call:
            case Send(kind, target, text):
                method, path, body = "POST", _COLLECTIONS[kind], _json({**json.loads(target), "text": text})
            case Edit(kind, message_id, text):
                method, path, body = "PUT", f"{_COLLECTIONS[kind]}/{_segment(message_id)}", _json({"text": text})
            case Probe(kind, message_id):
                method, path = "GET", f"{_COLLECTIONS[kind]}/{_segment(message_id)}"
            case Remove(kind, message_id):
                method, path = "DELETE", f"{_COLLECTIONS[kind]}/{_segment(message_id)}"
            case Ping(agent):
                method, path, body = "POST", "agentOnlinePing", agent.encode()
        url = _url(f"{self._base_url}/conversations/{path}")
        headers = [*_HEADERS, (b"api-key", self._key().get_secret_value().encode())]
        extensions = {"trace": phase.trace, "timeout": self._timeouts}
        return httpx.Request(method, url, headers=headers, content=body, extensions=extensions)

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports:
            await transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _transports(base_url: str) -> Callable[[], httpx.AsyncBaseTransport]:
    """Makes transports to the API, through the proxy that the environment names for it (HTTPS_PROXY, NO_PROXY …).

    Without a client before them: what it adds (cookies, redirects, authentication) is not wanted, and costs as much as
    the request itself.
    """
    parts, proxies = urlsplit(base_url), getproxies()
    proxy = None if proxy_bypass(parts.hostname or "") else proxies.get(parts.scheme) or proxies.get("all")
    tls = httpx.create_ssl_context()  # one for all: making it reads the certificates, some 20 ms
    return lambda: httpx.AsyncHTTPTransport(verify=tls, limits=ONE_CONNECTION, proxy=proxy)


@asynccontextmanager
async def _timeout(seconds: float) -> AsyncIterator[None]:
    """One time-out for all of a call. An answer that is there already wins over it, however late both are noticed."""
    loop, last_look = asyncio.get_running_loop(), min(LAST_LOOK, seconds)
    async with asyncio.timeout(None) as scope:
        timer = loop.call_later(seconds - last_look, lambda: scope.reschedule(loop.time() + last_look))
        try:
            yield
        finally:
            timer.cancel()


# All creates go to one address: parsing it anew would be a twelfth of a call's cost.
_url = lru_cache(maxsize=8)(httpx.URL)


def _segment(message_id: str) -> str:
    if message_id in ("", ".", ".."):
        raise ValueError("a message id must be more than dots, or the path would name something else")
    return quote(message_id, safe="")


def _json(body: dict[str, str]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _read(response: httpx.Response) -> Answered:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answered(response.status_code, headers, {}, "html" in headers.get("content-type", ""))


def _read_body(content: bytes) -> dict[str, object]:
    try:
        parsed: object = json.loads(content) if content else {}
    except (ValueError, RecursionError):  # error bodies of proxies are HTML, or anything else
        parsed = {}
    return {str(name): value for name, value in parsed.items()} if isinstance(parsed, dict) else {}

"""The one place that talks to Redis. Time-outs and retries are set here, not left to redis-py's defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from pushledger.errors import LedgerUnavailable
from pushledger.ledger.exchange import Command, Exchange, Reply, ScriptCall
from pushledger.ledger.rights import missing_right
from pushledger.server_address import SentinelAddress, is_behind_sentinels

__all__ = ["NO_RETRIES", "AsyncConnection", "Connection"]

T = TypeVar("T")


# For a client whose user tries again by itself; redis-py's own default tries for seconds.
NO_RETRIES = Retry(NoBackoff(), 0)
# A kept connection that the server has closed fails at once: one more try, on a fresh one. Never after a
# time-out, which would double the wait. All our scripts may run twice.
_RETRIED = (redis.exceptions.ConnectionError,)


def _options(timeout: timedelta) -> dict[str, Any]:
    seconds = timeout.total_seconds()
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": min(seconds, 1.0),
        "socket_keepalive": True,
        "health_check_interval": 0,
        "decode_responses": True,
        "protocol": 2,
        "max_connections": 1000,
    }


def _checked(client: redis.Redis | redis.asyncio.Redis, url: str) -> None:
    """Make a connection, without connecting: so that an option of the URL that does not fit is found at once."""
    pool = client.connection_pool
    if url.startswith("unix:"):
        pool.connection_kwargs.pop("socket_keepalive", None)
    pool.connection_kwargs["decode_responses"] = True
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        raise ValueError("the URL has an option that redis-py does not know") from error


def _of_server(address: SentinelAddress) -> dict[str, Any]:
    """What a connection to the server needs beyond its place, which the Sentinels tell."""
    options = dict(parse_url(address.url_of(address.hosts[0])))  # type: ignore[no-untyped-call]
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    return {**options, "ssl": address.over_tls}


def _of_sentinels(address: SentinelAddress, timeout: timedelta) -> dict[str, Any]:
    """What a connection to a Sentinel needs: its own credentials, and little patience, as there are others to ask."""
    tls = {name: value for name, value in _of_server(address).items() if name.startswith("ssl")}
    seconds = min(timeout.total_seconds(), 0.5)
    limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    return {**tls, **limits, "username": address.username, "password": address.password}


def _parts(command: Command | ScriptCall) -> tuple[Any, ...]:
    if isinstance(command, Command):
        return command.parts
    return ("EVALSHA", command.script.sha, 1, command.prefix, *command.arguments)


def _scripts(exchange: Exchange[T]) -> set[str]:
    return {command.script.source for command in exchange.commands if isinstance(command, ScriptCall)}


# redis-py puts the command, with its arguments, before what the server said of it in a pipeline.
_ANNOTATION = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)


def _unavailable(error: Exception, exchange: Exchange[T]) -> LedgerUnavailable:
    said = _ANNOTATION.sub("", str(error))
    if right := missing_right(said, _scripts(exchange)):
        return LedgerUnavailable(f"the ledger's Redis refused its user: {right}")
    said = f"the ledger's Redis did not do it: {said}"
    if "ssl" in said.lower():
        said += "; see the ssl_ options of PUSHLEDGER_REDIS_URL: "
        said += "a server may ask for a client's certificate (ssl_certfile)"
    return LedgerUnavailable(said)


class Connection:
    """Carries exchanges out over a blocking client."""

    def __init__(self, client: redis.Redis, sentinels: Sequence[redis.Redis] = ()) -> None:
        self._client = client
        self._sentinels = sentinels

    @classmethod
    def from_url(cls, url: str, timeout: timedelta) -> Connection:
        """Connect lazily, with a limit on every round trip."""
        options = {**_options(timeout), "retry": Retry(NoBackoff(), 1, supported_errors=_RETRIED)}
        if not is_behind_sentinels(url):
            client = redis.Redis.from_url(url, **options)
            _checked(client, url)
            return cls(client)
        address = SentinelAddress.from_url(url)
        asking = {**_of_sentinels(address, timeout), "retry": NO_RETRIES}
        sentinel = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            address.hosts, sentinel_kwargs=asking, **_of_server(address)
        )
        client = sentinel.master_for(address.master, **options)  # type: ignore[no-untyped-call]
        _checked(client, url)
        return cls(client, sentinel.sentinels)

    def run(self, exchange: Exchange[T]) -> T:
        """Send the commands in one round trip and read the replies.

        Raises LedgerUnavailable when Redis is away, frozen, full or refuses.
        """
        try:
            return exchange.read(self._replies(exchange))
        except RedisError as error:
            raise _unavailable(error, exchange) from error

    def _replies(self, exchange: Exchange[T]) -> Sequence[Reply]:
        try:
            return self._send(exchange)
        except NoScriptError:
            for source in _scripts(exchange):
                self._client.script_load(source)
            return self._send(exchange)

    def _send(self, exchange: Exchange[T]) -> Sequence[Reply]:
        if len(exchange.commands) == 1:
            return [self._client.execute_command(*_parts(exchange.commands[0]))]  # type: ignore[no-untyped-call]
        with self._client.pipeline(transaction=False) as pipe:
            for command in exchange.commands:
                pipe.execute_command(*_parts(command))  # type: ignore[no-untyped-call]
            replies: Sequence[Reply] = pipe.execute()
            return replies

    def close(self) -> None:
        """Close the pool."""
        for client in (self._client, *self._sentinels):
            client.close()


class AsyncConnection:
    """Carries exchanges out over an asyncio client."""

    def __init__(self, client: redis.asyncio.Redis, sentinels: Sequence[redis.asyncio.Redis] = ()) -> None:
        self._client = client
        self._sentinels = sentinels

    @classmethod
    def from_url(cls, url: str, timeout: timedelta) -> AsyncConnection:
        """Connect lazily, with a limit on every round trip."""
        options = {**_options(timeout), "retry": AsyncRetry(NoBackoff(), 1, supported_errors=_RETRIED)}
        if not is_behind_sentinels(url):
            client = redis.asyncio.Redis.from_url(url, **options)
            _checked(client, url)
            return cls(client)
        address = SentinelAddress.from_url(url)
        asking = {**_of_sentinels(address, timeout), "retry": AsyncRetry(NoBackoff(), 0)}
        sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            address.hosts, sentinel_kwargs=asking, **_of_server(address)
        )
        client = sentinel.master_for(address.master, **options)
        _checked(client, url)
        return cls(client, sentinel.sentinels)

    async def run(self, exchange: Exchange[T]) -> T:
        """Send the commands in one round trip and read the replies.

        Raises LedgerUnavailable when Redis is away, frozen, full or refuses.
        """
        try:
            return exchange.read(await self._replies(exchange))
        except (RedisError, RuntimeError) as error:
            # Of a lost connection uvloop says RuntimeError ("the handler is closed"), asyncio ConnectionError.
            raise _unavailable(error, exchange) from error

    async def _replies(self, exchange: Exchange[T]) -> Sequence[Reply]:
        try:
            return await self._send(exchange)
        except NoScriptError:
            for source in _scripts(exchange):
                await self._client.script_load(source)
            return await self._send(exchange)

    async def _send(self, exchange: Exchange[T]) -> Sequence[Reply]:
        if len(exchange.commands) == 1:
            return [await self._client.execute_command(*_parts(exchange.commands[0]))]  # type: ignore[no-untyped-call]
        async with self._client.pipeline(transaction=False) as pipe:
            for command in exchange.commands:
                pipe.execute_command(*_parts(command))
            replies: Sequence[Reply] = await pipe.execute()
            return replies

    async def close(self) -> None:
        """Close the pool."""
        for client in (self._client, *self._sentinels):
            await client.aclose()

"""The checks of the producers' package: the ledger's server, the clocks, the broker, a worker, versions."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from urllib.parse import parse_qs, urlsplit

from pushledger.broker import reach_broker
from pushledger.broker_refusals import refusal
from pushledger.checks import Check
from pushledger.errors import LedgerUnavailable
from pushledger.ledger import ServerFacts
from pushledger.ledger.server import eviction_warning, persistence_warning
from pushledger.messages import AsyncMessages

__all__ = [
    *("check_broker", "check_clock", "check_eviction", "check_memory", "check_persistence", "check_server"),
    *("check_versions", "check_worker", "own_checks"),
]

OLDEST_SERVER = (6, 2)
# Its worker dies in a broker outage while anything is unacknowledged.
BAD_CELERY = ("5.7.0",)
MEMORY_NEAR_LIMIT, MEMORY_FULL = 0.8, 0.95
CLOCKS_DIFFER = timedelta(seconds=5)
_PACKAGES = {"pushledger": "pushledger", "celery": "celery", "kombu": "kombu", "redis": "redis-py"}
_OVER_TLS, _UNCHECKED = ("rediss", "sentinels"), ("none", "cert_none")
_NOT_TOLD = "the server does not tell it; make sure of"


async def own_checks(messages: AsyncMessages, wait: timedelta) -> list[Check]:
    """Run them all; ``wait`` is how long a worker may take to answer."""
    try:
        facts = await messages.server_facts()
        clock = await _clock(messages)
    except LedgerUnavailable as error:
        away = f"{error}; start it, or set PUSHLEDGER_REDIS_URL"
        broker = await asyncio.to_thread(check_broker, messages.settings.broker_url)
        return [Check("server", "failed", away), broker, check_versions(_installed(), None)]
    broker = await asyncio.to_thread(check_broker, messages.settings.broker_url)
    worker = Check("worker", "skipped", "its wake-ups come through the broker, which cannot be reached")
    return [
        check_server(facts, messages.settings.redis_url),
        check_persistence(facts.config),
        check_eviction(facts.config),
        check_memory(facts),
        clock,
        broker,
        worker if broker.is_trouble else await check_worker(messages, wait),
        check_versions(_installed(), facts),
    ]


def check_server(facts: ServerFacts, url: str = "") -> Check:
    """Is it there, new enough, and one that takes what is written?"""
    if facts.replica_of:
        way_out = "set PUSHLEDGER_REDIS_URL to the primary, or to the Sentinels that know it"
        return Check("server", "failed", f"it is a replica of {facts.replica_of}, which takes no writes; {way_out}")
    if not facts.redis_version:
        return Check("server", "warning", f"it answers; {_NOT_TOLD} Redis 6.2, Valkey 7.2 or newer")
    parts = facts.redis_version.split(".")[:2]
    known = tuple(int(part) for part in parts if part.isdecimal())
    if known < OLDEST_SERVER:
        old = f"{facts.name} {facts.version} lacks commands that the ledger uses; update it to 6.2 or newer"
        return Check("server", "failed", old)
    if is_unchecked(url):
        open_to = "whoever stands between reads and changes everything; give ssl_ca_certs instead"
        return Check("server", "warning", f"nobody checks its certificate (ssl_cert_reqs=none): {open_to}")
    return Check("server", "ok", f"{facts.name} {facts.version} answers")


def is_unchecked(url: str) -> bool:
    """Whether the URL asks for TLS with whoever answers."""
    parts = urlsplit(url)
    return parts.scheme in _OVER_TLS and parse_qs(parts.query).get("ssl_cert_reqs", [""])[-1].lower() in _UNCHECKED


def check_persistence(config: Mapping[str, str]) -> Check:
    """Does a restart keep what was accepted?"""
    if "appendonly" not in config:
        return Check("persistence", "warning", f"{_NOT_TOLD} appendonly yes")
    if warning := persistence_warning(config):
        return Check("persistence", "warning", warning)
    return Check("persistence", "ok", f"append-only file on, appendfsync {config.get('appendfsync', 'not told')}")


def check_eviction(config: Mapping[str, str]) -> Check:
    """Does a full server refuse, or drop what it has?"""
    if "maxmemory-policy" not in config:
        return Check("eviction", "warning", f"{_NOT_TOLD} maxmemory-policy noeviction")
    if warning := eviction_warning(config):
        return Check("eviction", "failed", warning)
    return Check("eviction", "ok", "nothing is evicted (maxmemory-policy noeviction)")


def check_memory(facts: ServerFacts) -> Check:
    """Is there room left?"""
    used, limit = facts.memory_used, facts.memory_limit
    if used is None:
        return Check("memory", "warning", f"{_NOT_TOLD} room below maxmemory")
    if not limit:
        return Check("memory", "ok", f"{_size(used)} used, no limit set")
    share = used / limit
    said = f"{_size(used)} of {_size(limit)} used ({share:.0%})"
    if share < MEMORY_NEAR_LIMIT:
        return Check("memory", "ok", said)
    way_out = "raise maxmemory, or shorten PUSHLEDGER_RETENTION and PUSHLEDGER_TIMELINE_FOR"
    outcome = f"{said}: a full server refuses jobs; {way_out}"
    return Check("memory", "failed" if share >= MEMORY_FULL else "warning", outcome)


def _size(number: int) -> str:
    return f"{number / 2**20:,.1f} MiB"


async def _clock(messages: AsyncMessages) -> Check:
    before = datetime.now(UTC)
    server = (await messages.heartbeat()).now
    after = datetime.now(UTC)
    # What lies within the round trip may be the way, not the clock.
    return check_clock(min(timedelta(0), server - before) + max(timedelta(0), server - after))


def check_clock(ahead: timedelta) -> Check:
    """How far the server's clock is ahead of this machine's."""
    seconds = ahead.total_seconds()
    if abs(ahead) <= CLOCKS_DIFFER:
        return Check("clock", "ok", f"this machine and the server differ by {abs(seconds):.1f} s at most")
    where = "ahead of" if seconds > 0 else "behind"
    why = (
        "not_before, expires_at and versions that are times are judged by the server's clock; let both keep time (NTP)"
    )
    return Check("clock", "warning", f"the server is {abs(seconds):.1f} s {where} this machine: {why}")


def check_broker(broker_url: str) -> Check:
    """Can wake-ups be sent? Takes some seconds at most."""
    try:
        return Check("broker", "ok", f"{reach_broker(broker_url)} answers")
    except Exception as error:  # whatever the transport raises
        said = f"{type(error).__name__}: {error}"
        if password := urlsplit(broker_url).password:
            said = said.replace(password, "**")
        if remedy := refusal(error):
            return Check("broker", "failed", f"{remedy} ({said})")
        if "ssl" in said.lower():
            asked = "it may ask for a client's certificate; give ssl_certfile in PUSHLEDGER_BROKER_URL"
            return Check("broker", "failed", f"ends the TLS connection ({said}): {asked}")
        return Check("broker", "failed", f"cannot be reached ({said}); start it, or set PUSHLEDGER_BROKER_URL")


async def check_worker(messages: AsyncMessages, wait: timedelta) -> Check:
    """Does a wake-up come through broker and worker?"""
    began, last = time.monotonic(), (await messages.heartbeat()).last
    if not await messages.wake_up():
        return Check("worker", "failed", "no wake-up could be sent; see what the check of the broker says")
    while time.monotonic() - began < wait.total_seconds():
        if (await messages.heartbeat()).last != last:
            return Check("worker", "ok", f"a wake-up came through within {time.monotonic() - began:.1f} s")
        await asyncio.sleep(0.05)
    before = f"the last one began at {last.isoformat(' ', 'seconds')}" if last else "none ever did"
    way_out = "start `pushledger worker` that serves this account, with the same broker, or see if its name is right"
    return Check("worker", "failed", f"no delivery began within {wait.total_seconds():g} s, {before}; {way_out}")


def _installed() -> dict[str, str]:
    return {shown: version(name) for name, shown in _PACKAGES.items()}


def check_versions(installed: Mapping[str, str], facts: ServerFacts | None) -> Check:
    """What is installed here, and whether any of it is known to break."""
    shown = {"Python": platform.python_version(), **installed}
    if facts is not None and facts.version:
        shown[facts.name] = facts.version
    said = ", ".join(f"{name} {number}" for name, number in shown.items())
    if installed.get("celery") in BAD_CELERY:
        why = "a worker of it dies when the broker is away; install another version of celery"
        return Check("versions", "failed", f"celery {installed['celery']}: {why} ({said})")
    return Check("versions", "ok", said)

"""The ledger's server: what it is, and what it must be set to so that it keeps what was accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SERVER_SETTINGS", "ServerFacts", "eviction_warning", "persistence_warning", "server_warnings"]

SERVER_SETTINGS = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
_SILENT = "the server does not tell its settings: make sure of appendonly yes and maxmemory-policy noeviction"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server tells of itself. ``redis_version`` is the version of Redis that it is compatible with; memory is in
    bytes, ``memory_limit`` 0 for none. '' and None: not told. ``config`` is empty where CONFIG is refused.
    ``replica_of`` is the primary's address, '' on a primary."""

    name: str
    version: str
    redis_version: str
    memory_used: int | None
    memory_limit: int | None
    config: Mapping[str, str]
    replica_of: str = ""


def read_facts(info: Mapping[str, object], config: Mapping[str, str]) -> ServerFacts:
    """Put together what INFO and CONFIG told."""
    name = str(info.get("server_name") or "redis") if info else ""
    redis_version = str(info.get("redis_version", ""))
    used, limit = info.get("used_memory"), info.get("maxmemory", config.get("maxmemory"))
    return ServerFacts(
        name=name,
        version=str(info.get(f"{name}_version", redis_version)),
        redis_version=redis_version,
        memory_used=None if used is None else int(str(used)),
        memory_limit=None if limit is None else int(str(limit)),
        config=config,
        replica_of=f"{info.get('master_host')}:{info.get('master_port')}" if info.get("role") == "slave" else "",
    )


def persistence_warning(config: Mapping[str, str]) -> str | None:
    """Why a restart or a power failure could lose accepted messages; None when all is well."""
    if config.get("appendonly") == "no":
        return "appendonly is off: a restart of the server loses accepted messages; set appendonly yes"
    if config.get("appendfsync") == "no":
        return "appendfsync is no: a power failure loses more than a second; set appendfsync everysec"
    return None


def eviction_warning(config: Mapping[str, str]) -> str | None:
    """Why a full server could lose accepted messages; None when all is well."""
    policy = config.get("maxmemory-policy", "noeviction")
    if policy == "noeviction":
        return None
    return f"maxmemory-policy is {policy}: a full server drops messages; set maxmemory-policy noeviction"


def server_warnings(config: Mapping[str, str]) -> list[str]:
    """A sentence for each setting under which accepted messages could be lost; none when all is well.

    A setting that is not there could not be read, as managed servers refuse that.
    """
    if not config:
        return [_SILENT]
    return [warning for warning in (persistence_warning(config), eviction_warning(config)) if warning]

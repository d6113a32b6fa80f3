"""What a server must be set to so that it keeps what was accepted."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SERVER_SETTINGS", "server_warnings"]

SERVER_SETTINGS = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")


def server_warnings(config: Mapping[str, str]) -> list[str]:
    """A sentence for each setting under which accepted messages could be lost; none when all is well.

    A setting that is not there could not be read, as managed servers refuse that.
    """
    if not config:
        return ["the server does not tell its settings: make sure of appendonly yes and maxmemory-policy noeviction"]
    warnings = []
    if config.get("appendonly") == "no":
        warnings.append("appendonly is off: a restart of the server loses accepted messages; set appendonly yes")
    elif config.get("appendfsync") == "no":
        warnings.append("appendfsync is no: a power failure loses more than a second; set appendfsync everysec")
    policy = config.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        warnings.append(f"maxmemory-policy is {policy}: a full server drops messages; set maxmemory-policy noeviction")
    return warnings

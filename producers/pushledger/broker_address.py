"""What Celery and kombu must be told to reach a broker: RabbitMQ, Redis, or Redis behind Sentinels, over TLS or not.

kombu would check no certificate of a plain ``rediss://`` and no host name of ``amqps://``; here both are checked
unless the URL says otherwise.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pushledger.ledger import NO_RETRIES
from pushledger.server_address import SentinelAddress, is_behind_sentinels

__all__ = ["BrokerAddress", "BrokerKind"]

BrokerKind: TypeAlias = Literal["redis", "sentinel", "rabbitmq", "other"]
_REDIS = ("redis", "rediss")
_RABBITMQ = ("amqp", "amqps", "pyamqp")
_PUBLISHING = {"max_retries": 0, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker's URL as kombu reads it, what TLS needs (None: no TLS), and options of every connection to it."""

    kind: BrokerKind
    url: str
    tls: Mapping[str, object] | None
    options: Mapping[str, Any]

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read a URL; raises ValueError that says what is wrong, without the URL."""
        scheme = urlsplit(url).scheme
        if is_behind_sentinels(url):
            return cls._behind_sentinels(SentinelAddress.from_url(url))
        if scheme in _REDIS:
            bare, options = _parted(url)
            return cls("redis", bare, _redis_tls(options) if scheme == "rediss" else None, {})
        if scheme in _RABBITMQ:
            # A cluster is several URLs, parted by semicolons.
            parted = [_parted(one) for one in url.split(";")]
            bare = ";".join(one for one, _ in parted)
            tls = _rabbitmq_tls(parted[0][1]) if scheme == "amqps" else None
            return cls("rabbitmq", bare, tls, {"confirm_publish": True})
        return cls("other", url, None, {})

    @classmethod
    def _behind_sentinels(cls, address: SentinelAddress) -> Self:
        tls = _redis_tls(address.options) if address.over_tls else None
        own = {"username": address.username, "password": address.password, **(tls or {}), "ssl": tls is not None}
        urls = [urlsplit(address.url_of(host))._replace(scheme="sentinel", query="") for host in address.hosts]
        options = {"master_name": address.master, "sentinel_kwargs": {**own, "retry": NO_RETRIES}}
        return cls("sentinel", ";".join(map(urlunsplit, urls)), tls, options)

    def publishing(self) -> dict[str, Any]:
        """Transport options under which a publish fails within about a second."""
        return {**self._within(1.0, 0.5), **_PUBLISHING}

    def consuming(self) -> dict[str, Any]:
        """Transport options of a worker, which waits longer, but for nothing without end."""
        if self.kind in ("rabbitmq", "other"):
            return self._within(10.0, 3.0)
        return {
            **self._within(10.0, 3.0),
            # No task waits longer than the intake does for a ledger that is away; a copy that comes back records
            # nothing.
            "visibility_timeout": 300,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "health_check_interval": 25,
        }

    def _within(self, seconds: float, connecting: float) -> dict[str, Any]:
        limits = {"socket_timeout": seconds, "socket_connect_timeout": connecting}
        match self.kind:
            case "redis":
                return {**self.options, **limits, "socket_keepalive": True}
            case "sentinel":
                asked = {**self.options["sentinel_kwargs"], "socket_timeout": connecting}
                asked["socket_connect_timeout"] = connecting
                return {**self.options, **limits, "socket_keepalive": True, "sentinel_kwargs": asked}
            case "rabbitmq":
                return {**self.options, "read_timeout": seconds, "write_timeout": seconds}
            case _:
                return {}


def _parted(url: str) -> tuple[str, dict[str, str]]:
    """The URL without its ``ssl_`` options, and these."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query)
    rest = "&".join(f"{name}={value}" for name, value in pairs if not name.startswith("ssl_"))
    return urlunsplit(parts._replace(query=rest)), {name: value for name, value in pairs if name.startswith("ssl_")}


def _redis_tls(options: Mapping[str, str]) -> dict[str, object]:
    given = {name: value for name, value in options.items() if name.startswith("ssl_")}
    checks_name = given.pop("ssl_check_hostname", "true").lower() not in ("false", "0", "no")
    return {"ssl_cert_reqs": "required", **given, "ssl_check_hostname": checks_name}


def _rabbitmq_tls(options: Mapping[str, str]) -> dict[str, object]:
    # None makes kombu fill in the host's name, which py-amqp then checks.
    files = {name: options[f"ssl_{name}"] for name in ("ca_certs", "certfile", "keyfile") if f"ssl_{name}" in options}
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, **files}

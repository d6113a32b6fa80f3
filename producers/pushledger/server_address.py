"""What a Redis URL says beyond host and port: the files of a TLS connection, and the Sentinels that know the master.

One form for the ledger and for the broker::

    rediss://user:password@host:6380/0?ssl_ca_certs=/etc/ssl/redis-ca.pem
    sentinel://user:password@one:26379,two:26379,three:26379/0?master=shop

``sentinels://`` is Sentinel over TLS. Options whose name begins with ``ssl_`` are redis-py's own, for the server and
for the Sentinels; ``sentinel_username`` and ``sentinel_password`` are for the Sentinels alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["SentinelAddress", "is_behind_sentinels", "verify_tls_files"]

_OWN_OPTIONS = ("master", "sentinel_username", "sentinel_password")
_SENTINEL_PORT = 26379


def is_behind_sentinels(url: str) -> bool:
    """Whether a URL names Sentinels, not a server."""
    return urlsplit(url).scheme in ("sentinel", "sentinels")


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the Sentinels are and whom they shall be asked for; ``options`` are those of the server's connection."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    credentials: str
    database: int
    over_tls: bool
    username: str | None
    password: str | None
    options: Mapping[str, str]

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read a URL; raises ValueError that says what is wrong, without the URL."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        credentials, _, hosts = parts.netloc.rpartition("@")
        if not options.get("master"):
            raise ValueError("must name the master, as sentinel://one:26379,two:26379/0?master=shop does")
        database = parts.path.strip("/") or "0"
        if not database.isdecimal():
            raise ValueError("must end with the number of a logical database")
        return cls(
            hosts=tuple(_host(host) for host in hosts.split(",")),
            master=options["master"],
            credentials=credentials,
            database=int(database),
            over_tls=parts.scheme == "sentinels",
            username=options.get("sentinel_username"),
            password=options.get("sentinel_password"),
            options={name: value for name, value in options.items() if name not in _OWN_OPTIONS},
        )

    def url_of(self, host: tuple[str, int]) -> str:
        """The URL of a server at this place, with the credentials and options that are for the server."""
        name = f"[{host[0]}]" if ":" in host[0] else host[0]
        place = f"{self.credentials}@{name}:{host[1]}" if self.credentials else f"{name}:{host[1]}"
        scheme = "rediss" if self.over_tls else "redis"
        return urlunsplit((scheme, place, f"/{self.database}", urlencode(self.options), ""))


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("must name each Sentinel as host:port") from None
    if not parts.hostname:
        raise ValueError("must name each Sentinel as host:port")
    return parts.hostname, port or _SENTINEL_PORT


def verify_tls_files(url: str) -> None:
    """Load what the URL's ``ssl_`` options name; raises ValueError with the option and the file that cannot be used."""
    options = dict(parse_qsl(urlsplit(url).query))
    context = ssl.create_default_context()
    if authorities := options.get("ssl_ca_certs"):
        try:
            context.load_verify_locations(authorities)
        except OSError as error:
            raise ValueError(f"ssl_ca_certs: {authorities} holds no certificates ({_reason(error)})") from None
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if key and not certificate:
        raise ValueError("ssl_keyfile: needs ssl_certfile beside it")
    if certificate:
        try:
            context.load_cert_chain(certificate, key, password=lambda: options.get("ssl_password", ""))
        except OSError as error:
            files = f"{certificate} and {key}" if key else certificate
            raise ValueError(f"ssl_certfile: {files} are no certificate with its key ({_reason(error)})") from None


def _reason(error: OSError) -> str:
    return str(error.strerror or error)

"""A request on the API as it arrived, and what it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from brevo_sandbox.messages import Family
from brevo_sandbox.wire import BadInputError, Json, load

PREFIX = "/v3"
_PING = f"{PREFIX}/conversations/agentOnlinePing"
_FAMILIES = {f"{PREFIX}/conversations/{family.value}": family for family in Family}
_SECRET_HEADERS = frozenset({"api-key", "partner-key", "authorization", "proxy-authorization", "cookie"})
_SHORTEST_KEY_WITH_A_TAIL = 12


@dataclass(frozen=True, slots=True)
class Target:
    """The messages of a family, or one of them."""

    family: Family
    message_id: str | None


@dataclass(frozen=True, slots=True)
class PingTarget:
    """The online state of an agent, whom the body names."""


def find_target(path: str) -> Target | PingTarget | None:
    """Read a decoded path; an id may hold any character, slashes included."""
    if path in (_PING, f"{_PING}/"):
        return PingTarget()
    for collection, family in _FAMILIES.items():
        if path in (collection, f"{collection}/"):
            return Target(family, None)
        if path.startswith(f"{collection}/"):
            return Target(family, path[len(collection) + 1 :])
    return None


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request; `document` is its body as JSON, and None when it is not `readable`."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    readable: bool
    document: Json
    target: Target | PingTarget | None

    @classmethod
    def read(cls, method: str, path: str, query: str, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Incoming:
        """Take the parts of a request off the wire."""
        readable, document = True, None
        try:
            document = load(body)
        except BadInputError:
            readable = False
        return cls(
            method=method,
            path=path,
            query=query,
            headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers),
            body=body,
            readable=readable,
            document=document,
            target=find_target(path),
        )

    def header(self, name: str) -> str | None:
        """Get the first header of that name."""
        return next((value for known, value in self.headers if known == name), None)

    @property
    def text(self) -> str | None:
        """The text it wants shown, when it has one."""
        return self._field("text")

    @property
    def visitor_id(self) -> str | None:
        """The visitor it names, when it names one."""
        return self._field("visitorId")

    @property
    def family(self) -> str:
        """The kind of resource it is about, by its path segment; empty where there is none."""
        match self.target:
            case Target(family, _):
                return family.value
            case PingTarget():
                return "agentOnlinePing"
            case None:
                return ""

    @property
    def route(self) -> str:
        """Its method and the pattern of its path, as `GET pushedMessages/{id}`."""
        one = isinstance(self.target, Target) and self.target.message_id is not None
        return f"{self.method} {self.family}{'/{id}' if one else ''}"

    def open_headers(self) -> dict[str, str]:
        """Show its headers, those that grant access left out."""
        return {name: value for name, value in self.headers if name not in _SECRET_HEADERS}

    def key_tail(self) -> str | None:
        """Show the last four characters of the key, if that leaves most of it unknown."""
        key = self.header("api-key") or ""
        return key[-4:] if len(key) >= _SHORTEST_KEY_WITH_A_TAIL else None

    def shown_body(self) -> Json:
        """Show its body: as JSON where it is JSON, as text where it is not, None where there is none."""
        if self.readable:
            return self.document
        return self.body.decode("utf-8", "replace") if self.body else None

    def _field(self, name: str) -> str | None:
        value = self.document.get(name) if isinstance(self.document, dict) else None
        return value if isinstance(value, str) else None

"""Who sends a message and to whom: what stays fixed for a message's life, by the rules of the API's bodies.

Source: the API's reference of POST pushedMessages, POST messages and POST agentOnlinePing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from pushledger.errors import InvalidJob

__all__ = ["Agent", "Kind", "Sender", "check_id", "check_kind", "check_sender", "length", "target_json"]

Kind: TypeAlias = Literal["pushed", "agent"]
MAX_ID_BYTES = 512
_BY_EMAIL = ("agent_email", "agent_name", "received_from")
_API_NAMES = {
    "agent_id": "agentId",
    "group_id": "groupId",
    "agent_email": "agentEmail",
    "agent_name": "agentName",
    "received_from": "receivedFrom",
}


class Sender(NamedTuple):
    """In whose name a message is sent; None for what is not given."""

    agent_id: str | None = None
    group_id: str | None = None
    agent_email: str | None = None
    agent_name: str | None = None
    received_from: str | None = None

    def api_fields(self) -> dict[str, str]:
        """The same by the API's names, without what is not given."""
        return {_API_NAMES[name]: value for name, value in self._asdict().items() if value is not None}


@dataclass(frozen=True, slots=True)
class Agent:
    """One of the shop's staff: by the API's id, or by e-mail, name and the marker ``received_from`` together.

    An e-mail that the API does not know makes it create a stand-in agent. Raises InvalidJob.
    """

    agent_id: str | None = None
    agent_email: str | None = None
    agent_name: str | None = None
    received_from: str | None = None

    def __post_init__(self) -> None:
        check_sender("agent", self._sender())

    def _sender(self) -> Sender:
        return Sender(self.agent_id, None, self.agent_email, self.agent_name, self.received_from)

    def to_json(self) -> str:
        """The agent as the JSON fields of the API's body; the same agent gives the same text."""
        return _json(self._sender().api_fields())

    @classmethod
    def from_json(cls, text: str) -> Agent:
        """Read what to_json wrote."""
        fields = json.loads(text)
        return cls(**{name: fields[api] for name, api in _API_NAMES.items() if api in fields})


def target_json(visitor_id: str, sender: Sender) -> str:
    """A target as the JSON fields of the API's body; the same target gives the same text."""
    return _json({"visitorId": visitor_id, **sender.api_fields()})


def check_kind(kind: object) -> None:
    """Raise InvalidJob unless it is a kind of message."""
    if kind not in get_args(Kind):
        raise InvalidJob("kind", f"must be one of {', '.join(map(repr, get_args(Kind)))}")


def check_sender(kind: Kind, sender: Sender) -> None:
    """Raise InvalidJob unless a message of this kind can be sent in that name."""
    check_kind(kind)
    for name, value in sender._asdict().items():
        if value is not None:
            check_id(name, value)
    if kind == "pushed":
        _check_pushed(sender)
    else:
        _check_agent(sender)


def _check_pushed(sender: Sender) -> None:
    for name in _BY_EMAIL:
        if getattr(sender, name) is not None:
            raise InvalidJob(name, "belongs to messages of kind 'agent'; a pushed one takes agent_id or group_id")
    if (sender.agent_id is None) == (sender.group_id is None):
        raise InvalidJob("agent_id", "give exactly one of agent_id and group_id: the API sends in its name")


def _check_agent(sender: Sender) -> None:
    if sender.group_id is not None:
        raise InvalidJob("group_id", "belongs to messages of kind 'pushed'; an agent's takes agent_id")
    missing = [name for name in _BY_EMAIL if getattr(sender, name) is None]
    if sender.agent_id is not None and len(missing) < len(_BY_EMAIL):
        raise InvalidJob("agent_id", "give either agent_id, or agent_email, agent_name and received_from together")
    if sender.agent_id is None and missing:
        field = missing[0] if len(missing) < len(_BY_EMAIL) else "agent_id"
        raise InvalidJob(field, "give agent_id, or agent_email, agent_name and received_from together")
    if sender.agent_email is not None and not _is_email(sender.agent_email):
        raise InvalidJob("agent_email", "must be an e-mail address")


def _is_email(value: str) -> bool:
    name, at, host = value.rpartition("@")
    return bool(name and at and host) and not any(char.isspace() for char in value)


def check_id(field: str, value: object) -> None:
    """Raise InvalidJob unless it is text of a length that an id may have."""
    if not isinstance(value, str) or not 1 <= length(field, value) <= MAX_ID_BYTES:
        raise InvalidJob(field, f"must be text of 1 to {MAX_ID_BYTES} bytes")
    if not value.strip():
        raise InvalidJob(field, "must not be blank")


def length(field: str, value: str) -> int:
    """The length in bytes; raises InvalidJob for what is no valid text."""
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidJob(field, "must be valid Unicode, without lone surrogates") from error


def _json(fields: dict[str, str]) -> str:
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

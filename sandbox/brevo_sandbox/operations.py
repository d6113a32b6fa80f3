"""What the API does with a request it has let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brevo_sandbox.endings import Reply, refusal, reply
from brevo_sandbox.incoming import Incoming
from brevo_sandbox.messages import Family, Message, agent_of_group
from brevo_sandbox.rules import Rules
from brevo_sandbox.store import Store

_COLLECTION_METHODS = ("POST",)
_MESSAGE_METHODS = ("GET", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The honest answer to a request, and whether it changed what a visitor sees."""

    reply: Reply
    effect: bool = False
    message_id: str | None = None


class _RefusedError(Exception):
    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Operations:
    """Create, read, edit and delete messages of a store."""

    def __init__(self, store: Store, rules: Rules, clock: Callable[[], float], ids: Callable[[], str]) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._ids = ids

    def perform(self, request: Incoming) -> Outcome:
        """Carry a request out and say what to answer."""
        try:
            return self._route(request)
        except _RefusedError as refused:
            return Outcome(refused.answer)

    def _route(self, request: Incoming) -> Outcome:
        target = request.target
        if target is None:
            raise _RefusedError(self._not_found("Route not found"))
        if target.message_id is None:
            if request.method not in _COLLECTION_METHODS:
                raise _RefusedError(_wrong_method(_COLLECTION_METHODS))
            return self._create(target.family, request)
        match request.method:
            case "GET":
                message = self._find(target.family, target.message_id)
                return Outcome(reply(200, message.as_answer()), message_id=message.id)
            case "PUT":
                fields = _document(request)
                text = _required(fields, "text")
                message = self._find(target.family, target.message_id)
                edited = self._store.edit(message, text, self._now())
                return Outcome(reply(200, edited.as_answer()), effect=True, message_id=edited.id)
            case "DELETE":
                message = self._find(target.family, target.message_id)
                self._store.delete(message, self._now())
                return Outcome(Reply(204), effect=True, message_id=message.id)
            case _:
                raise _RefusedError(_wrong_method(_MESSAGE_METHODS))

    def _create(self, family: Family, request: Incoming) -> Outcome:
        fields = _document(request)
        text = _required(fields, "text")
        visitor_id = _required(fields, "visitorId")
        agent_id = _optional(fields, "agentId")
        group_id = _optional(fields, "groupId")
        if agent_id is None and group_id is None and self._rules.require_sender:
            raise _RefusedError(refusal(400, "missing_parameter", "agentId or groupId is missing"))
        message = Message(
            id=self._ids(),
            family=family,
            visitor_id=visitor_id,
            text=text,
            agent_id=agent_id or agent_of_group(group_id or ""),
            created_at=self._now(),
        )
        self._store.add(message)
        return Outcome(reply(200, message.as_answer()), effect=True, message_id=message.id)

    def _find(self, family: Family, message_id: str) -> Message:
        message = self._store.find(family, message_id)
        if message is None:
            raise _RefusedError(self._not_found("Message not found"))
        return message

    def _not_found(self, message: str) -> Reply:
        return refusal(404, "document_not_found" if self._rules.not_found_code else None, message)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _wrong_method(allowed: tuple[str, ...]) -> Reply:
    return refusal(405, "method_not_allowed", "Method not allowed", ("allow", ", ".join(allowed)))


def _document(request: Incoming) -> dict[str, object]:
    media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise _RefusedError(refusal(406, "not_acceptable", "The content type must be application/json"))
    if not request.readable or not isinstance(request.document, dict):
        raise _RefusedError(refusal(400, "bad_request", "The body is not a JSON object"))
    return dict(request.document)


def _optional(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise _RefusedError(refusal(400, "invalid_parameter", f"{name} is invalid"))
    return value


def _required(fields: dict[str, object], name: str) -> str:
    value = _optional(fields, name)
    if value is None:
        raise _RefusedError(refusal(400, "missing_parameter", f"{name} is missing"))
    return value

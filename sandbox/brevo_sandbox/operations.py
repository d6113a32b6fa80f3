"""What the API does with a request it has let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brevo_sandbox.agents import Agent, Agents
from brevo_sandbox.bodies import RefusedError, document, optional, required, text_of
from brevo_sandbox.endings import Reply, refusal, reply
from brevo_sandbox.incoming import Incoming, PingTarget, Target
from brevo_sandbox.messages import Family, Message
from brevo_sandbox.rules import Rules
from brevo_sandbox.store import Store

_COLLECTION_METHODS = ("POST",)
_MESSAGE_METHODS = ("GET", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The honest answer to a request, whether it changed what a visitor sees, and the message it made."""

    reply: Reply
    effect: bool = False
    message_id: str | None = None
    created: Message | None = None


class Operations:
    """Create, read, edit and delete messages of a store, and keep agents online."""

    def __init__(
        self, store: Store, agents: Agents, rules: Rules, clock: Callable[[], float], ids: Callable[[], str]
    ) -> None:
        self._store = store
        self._agents = agents
        self._rules = rules
        self._clock = clock
        self._ids = ids

    def perform(self, request: Incoming) -> Outcome:
        """Carry a request out and say what to answer."""
        try:
            match request.target:
                case Target(family, None):
                    return self._on_collection(family, request)
                case Target(family, str(message_id)):
                    return self._on_message(family, message_id, request)
                case PingTarget():
                    return self._ping(request)
                case _:
                    raise RefusedError(self._not_found("Route not found"))
        except RefusedError as refused:
            return Outcome(refused.answer)

    def _on_collection(self, family: Family, request: Incoming) -> Outcome:
        if request.method not in _COLLECTION_METHODS:
            raise _wrong_method(_COLLECTION_METHODS)
        fields = document(request)
        text = text_of(fields, self._rules)
        visitor_id = required(fields, "visitorId")
        if self._rules.require_known_visitor and not self._store.knows(visitor_id):
            raise RefusedError(refusal(400, "invalid_parameter", "visitorId is unknown"))
        agent = self._sender_of_push(fields) if family is Family.PUSHED else self._agent(fields)
        message = Message(
            id=self._ids(),
            family=family,
            visitor_id=visitor_id,
            text=text,
            agent=agent,
            created_at=self._now(),
            received_from=None if family is Family.PUSHED else optional(fields, "receivedFrom"),
        )
        self._store.add(message)
        answer = reply(200, message.as_answer(self._rules))
        return Outcome(answer, effect=True, message_id=message.id, created=message)

    def _on_message(self, family: Family, message_id: str, request: Incoming) -> Outcome:
        match request.method:
            case "GET":
                message = self._find(family, message_id)
                return Outcome(reply(200, message.as_answer(self._rules)), message_id=message.id)
            case "PUT":
                text = text_of(document(request), self._rules)
                message = self._by_agent(self._find(family, message_id))
                edited = self._store.edit(message, text, self._now())
                return Outcome(reply(200, edited.as_answer(self._rules)), effect=True, message_id=edited.id)
            case "DELETE":
                return self._delete(family, message_id)
            case _:
                raise _wrong_method(_MESSAGE_METHODS)

    def _delete(self, family: Family, message_id: str) -> Outcome:
        if self._rules.second_delete_status == 204 and self._deleted_before(family, message_id):
            return Outcome(Reply(204), message_id=message_id)
        message = self._by_agent(self._find(family, message_id))
        self._store.delete(message, self._now())
        return Outcome(Reply(204), effect=True, message_id=message.id)

    def _ping(self, request: Incoming) -> Outcome:
        if request.method not in _COLLECTION_METHODS:
            raise _wrong_method(_COLLECTION_METHODS)
        agent = self._agent(document(request))
        self._agents.ping(agent, self._clock(), self._rules.online_seconds)
        return Outcome(Reply(201, content_type=None))

    def _sender_of_push(self, fields: dict[str, object]) -> Agent:
        agent_id = optional(fields, "agentId")
        group_id = optional(fields, "groupId")
        if agent_id is not None:
            return self._agents.by_id(agent_id)
        if group_id is None and self._rules.require_sender:
            raise RefusedError(refusal(400, "missing_parameter", "agentId or groupId is missing"))
        return self._agents.of_group(group_id or "")

    def _agent(self, fields: dict[str, object]) -> Agent:
        agent_id = optional(fields, "agentId")
        email = optional(fields, "agentEmail")
        name = optional(fields, "agentName")
        received_from = optional(fields, "receivedFrom")
        # A known integration sends receivedFrom beside agentId, so the two ways do not exclude each other.
        if agent_id is not None:
            return self._agents.by_id(agent_id)
        if email is None or name is None or received_from is None:
            wanted = "agentId, or agentEmail with agentName and receivedFrom, is missing"
            raise RefusedError(refusal(400, "missing_parameter", wanted))
        if "@" not in email.strip("@"):
            raise RefusedError(refusal(400, "invalid_parameter", "agentEmail is invalid"))
        return self._agents.by_email(email, name)

    def _find(self, family: Family, message_id: str) -> Message:
        for each in self._families(family):
            message = self._store.find(each, message_id)
            if message is not None:
                return message
        raise RefusedError(self._not_found("Message not found"))

    def _deleted_before(self, family: Family, message_id: str) -> bool:
        messages = [self._store.recall(each, message_id) for each in self._families(family)]
        known = [message for message in messages if message is not None]
        return bool(known) and not any(message.shown for message in known)

    def _families(self, family: Family) -> tuple[Family, ...]:
        return (family, *Family) if self._rules.ids_across_families else (family,)

    def _by_agent(self, message: Message) -> Message:
        if message.agent is not None:
            return message
        if self._rules.visitor_message_status == 404:
            raise RefusedError(self._not_found("Message not found"))
        raise RefusedError(refusal(400, "invalid_parameter", "Only messages of agents can be changed"))

    def _not_found(self, message: str) -> Reply:
        return refusal(404, "document_not_found" if self._rules.not_found_code else None, message)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _wrong_method(allowed: tuple[str, ...]) -> RefusedError:
    return RefusedError(refusal(405, "method_not_allowed", "Method not allowed", ("allow", ", ".join(allowed))))

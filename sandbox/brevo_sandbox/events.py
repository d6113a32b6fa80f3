"""The body of a webhook call, with the fields that Brevo documents for Conversations webhooks.

What the sandbox cannot know of a visitor (browser, place, contact) has a neutral value of the documented type.
"""

from __future__ import annotations

from brevo_sandbox.agents import Agent
from brevo_sandbox.conversations import EventName, Happening
from brevo_sandbox.ids import derived_id
from brevo_sandbox.messages import Message
from brevo_sandbox.rules import Rules
from brevo_sandbox.wire import Json

_START_PAGE = {"link": "http://localhost/", "title": "Sandbox"}


def conversation_id(visitor_id: str) -> str:
    """Name the one continuous conversation of a visitor."""
    return derived_id(f"conversation:{visitor_id}")


def event_body(happening: Happening, rules: Rules, *, agent_online: bool) -> dict[str, Json]:
    """Tell of a happening the way Brevo would."""
    body: dict[str, Json] = {
        "eventName": happening.name.value,
        "conversationId": conversation_id(happening.visitor_id),
        "visitor": _visitor(happening.visitor_id),
    }
    messages = [message.as_event(rules) for message in happening.messages]
    agents = [_agent(agent) for agent in _agents(happening.messages)]
    match happening.name:
        case EventName.STARTED:
            body |= {
                "message": messages[0],
                "conversationStartPage": _START_PAGE,
                "isNoAvailableAgent": not agent_online,
            }
            return body | ({"agent": agents[0]} if agents else {})
        case EventName.FRAGMENT:
            return body | {"messages": messages, "agents": agents, "isNoAvailableAgent": not agent_online}
        case EventName.TRANSCRIPT:
            end: dict[str, Json] = {"messages": messages, "agents": agents, "missedMessagesCount": 0}
            return body | end | {"conversationStartPage": _START_PAGE}


def _agents(messages: tuple[Message, ...]) -> list[Agent]:
    return list({message.agent.id: message.agent for message in messages if message.agent is not None}.values())


def _agent(agent: Agent) -> dict[str, Json]:
    known: dict[str, Json] = {"id": agent.id, "name": agent.name}
    return known if agent.email is None else known | {"email": agent.email}


def _visitor(visitor_id: str) -> dict[str, Json]:
    return {
        "id": visitor_id,
        "threadId": conversation_id(visitor_id),
        "displayedName": visitor_id,
        "ip": "127.0.0.1",
        "browserLanguage": "en",
        "conversationLanguage": "en",
        "contactAttributes": {},
        "integrationAttributes": {},
        "attributes": {},
        "formattedAttributes": {},
        "notes": "",
        "isBanned": False,
    }

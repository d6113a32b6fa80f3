"""The official client, brevo-python 1.2.0, against a running sandbox: every operation, and its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import brevo_python
import pytest
from brevo_python.rest import ApiException
from brevo_sandbox import Rate, Sandbox, Scripted
from brevo_sandbox.faults import Fault, Kind
from brevo_sandbox.server import running

AGENT = "d9nKoegKSjmCtyK78"
DUMMY = {"agent_email": "liz@example.com", "agent_name": "Liz", "received_from": "helpdesk"}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(rate=Rate(100, 3600))


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[brevo_python.ConversationsApi]:
    configuration = brevo_python.Configuration()
    configuration.api_key["api-key"] = "test-key-0123456789"
    with running(sandbox) as url:
        configuration.host = url
        client = brevo_python.ApiClient(configuration)
        yield brevo_python.ConversationsApi(client)
        client.rest_client.pool_manager.clear()


def answer_of(answer: tuple[Any, int, Any]) -> tuple[Any, int]:
    """What was parsed, and the status; the rate headers are on every answer."""
    parsed, status, headers = answer
    assert headers["x-sib-ratelimit-limit"] == "100"
    assert int(headers["x-sib-ratelimit-remaining"]) < 100
    assert 0 < int(headers["x-sib-ratelimit-reset"]) <= 3600
    return parsed, status


def pushed(**changes: str) -> brevo_python.Body17:
    return brevo_python.Body17(**{"text": "Order received", "visitor_id": "visitor-1", "agent_id": AGENT} | changes)


def test_the_four_operations_on_pushed_messages(api: brevo_python.ConversationsApi, sandbox: Sandbox) -> None:
    """Create 200, read 200, edit 200, delete 204, each as the documentation has it."""
    made, status = answer_of(api.conversations_pushed_messages_post_with_http_info(pushed()))
    assert (status, type(made)) == (200, brevo_python.ConversationsMessage)
    assert (made.type, made.is_pushed, made.text) == ("agent", True, "Order received")
    assert (made.visitor_id, made.agent_id, made.received_from) == ("visitor-1", AGENT, None)
    assert made.agent_name
    assert made.created_at > 1_000_000_000_000

    read, status = answer_of(api.conversations_pushed_messages_id_get_with_http_info(made.id))
    assert (status, read) == (200, made)

    edit = brevo_python.Body18(text="Shipped")
    edited, status = answer_of(api.conversations_pushed_messages_id_put_with_http_info(made.id, edit))
    assert (status, edited.id, edited.text, edited.created_at) == (200, made.id, "Shipped", made.created_at)

    nothing, status = answer_of(api.conversations_pushed_messages_id_delete_with_http_info(made.id))
    assert (status, nothing) == (204, None)
    assert sandbox.store.chat("visitor-1") == []


@pytest.mark.parametrize("sender", [{"agent_id": AGENT}, DUMMY], ids=["agent", "email"])
def test_the_four_operations_on_messages_of_agents(
    api: brevo_python.ConversationsApi, sandbox: Sandbox, sender: dict[str, str]
) -> None:
    """The same four; either way of naming the agent will do."""
    body = brevo_python.Body15(visitor_id="visitor-1", text="Hello", **sender)
    made, status = answer_of(api.conversations_messages_post_with_http_info(body))
    assert (status, type(made)) == (200, brevo_python.ConversationsMessage)
    assert (made.type, made.is_pushed, made.text) == ("agent", False, "Hello")
    assert made.received_from == sender.get("received_from")
    assert made.agent_id == sender.get("agent_id", made.agent_id)
    assert made.agent_name == sender.get("agent_name", made.agent_name)

    read, status = answer_of(api.conversations_messages_id_get_with_http_info(made.id))
    assert (status, read) == (200, made)

    edit = brevo_python.Body16(text="Good day")
    edited, status = answer_of(api.conversations_messages_id_put_with_http_info(made.id, body=edit))
    assert (status, edited.id, edited.text) == (200, made.id, "Good day")

    nothing, status = answer_of(api.conversations_messages_id_delete_with_http_info(made.id))
    assert (status, nothing) == (204, None)
    assert sandbox.store.chat("visitor-1") == []


@pytest.mark.parametrize("sender", [{"agent_id": AGENT}, DUMMY], ids=["agent", "email"])
def test_a_ping(api: brevo_python.ConversationsApi, sandbox: Sandbox, sender: dict[str, str]) -> None:
    """201 and nothing in it; the agent is online."""
    body = brevo_python.Body19(**sender)
    nothing, status = answer_of(api.conversations_agent_online_ping_post_with_http_info(body))
    assert (status, nothing) == (201, None)
    assert [presence.pings for presence in sandbox.agents.presences()] == [1]


def test_a_visitors_message_parses(api: brevo_python.ConversationsApi, sandbox: Sandbox) -> None:
    """The client raises on any type but the two that are documented."""
    said = sandbox.say("visitor-1", "Where is my order?")
    read = api.conversations_messages_id_get(said.id)
    assert (read.type, read.agent_id, read.text) == ("visitor", None, "Where is my order?")


def refused(error: pytest.ExceptionInfo[ApiException]) -> tuple[int, str]:
    """The status and the code; the body fits the client's own model of an error."""
    document = json.loads(error.value.body)
    assert error.value.headers["x-sib-ratelimit-limit"] == "100"
    assert f"({error.value.status})" in str(error.value)
    return error.value.status, document["code"]


def test_its_errors_for_what_is_wrong_and_what_is_not_there(api: brevo_python.ConversationsApi) -> None:
    """400 and 404 are its ApiException, whose code the client's error model accepts."""
    with pytest.raises(ApiException) as error:
        api.conversations_pushed_messages_post(pushed(text=" "))
    assert refused(error) == (400, "invalid_parameter")
    brevo_python.ErrorModel(**json.loads(error.value.body))
    for call in (
        lambda: api.conversations_pushed_messages_id_get("none"),
        lambda: api.conversations_pushed_messages_id_delete("none"),
        lambda: api.conversations_messages_id_put("a/b", body=brevo_python.Body16(text="x")),
        lambda: api.conversations_messages_id_delete("none"),
    ):
        with pytest.raises(ApiException) as error:
            call()
        assert refused(error) == (404, "document_not_found")
        brevo_python.ErrorModel(**json.loads(error.value.body))


def test_its_error_for_the_rate_limit(api: brevo_python.ConversationsApi, sandbox: Sandbox) -> None:
    """It tries no 429 again, as no Retry-After comes with it; the headers say how long to wait."""
    for _ in range(100):
        api.conversations_pushed_messages_post(pushed())
    with pytest.raises(ApiException) as error:
        api.conversations_pushed_messages_post(pushed())
    assert refused(error) == (429, "too_many_requests")
    assert error.value.headers["x-sib-ratelimit-remaining"] == "0"
    assert 0 < int(error.value.headers["x-sib-ratelimit-reset"]) <= 3600
    assert sandbox.journal.stats()["requests"] == 101


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(Kind.UNAUTHORIZED), 401),
        (Fault(Kind.ERROR_AFTER, status=500), 500),
        (Fault(Kind.HTML_ERROR), 502),
    ],
)
def test_its_errors_for_faults(api: brevo_python.ConversationsApi, sandbox: Sandbox, fault: Fault, status: int) -> None:
    """Whatever the body is, the client says the status."""
    sandbox.faults.add(Scripted(fault))
    with pytest.raises(ApiException) as error:
        api.conversations_pushed_messages_post(pushed())
    assert error.value.status == status

"""In whose name a message may be sent, by its kind, and how the API is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pushledger import Agent, Create, InvalidJob
from pushledger.jobs import Adoption, job_from_json

BY_EMAIL = {"agent_email": "liz@shop.example", "agent_name": "Liz", "received_from": "orders"}
WHOLE = {"local_id": "order:1", "visitor_id": "v-1", "text": "Hello", "kind": "agent"}


@pytest.mark.parametrize(
    ("sender", "fields"),
    [
        ({"agent_id": "a-1"}, {"agentId": "a-1"}),
        (BY_EMAIL, {"agentEmail": "liz@shop.example", "agentName": "Liz", "receivedFrom": "orders"}),
    ],
    ids=["by id", "by e-mail"],
)
def test_an_agents_message_names_its_agent_as_the_api_does(sender: dict[str, str], fields: dict[str, str]) -> None:
    job = job_from_json("create", {**WHOLE, **sender})
    assert isinstance(job, Create)
    assert json.loads(job.target()) == {"visitorId": "v-1", **fields}


@pytest.mark.parametrize(
    ("sender", "field"),
    [
        ({}, "agent_id"),
        ({"group_id": "g"}, "group_id"),
        ({"agent_id": "a", "group_id": "g"}, "group_id"),
        ({"agent_id": "a", **BY_EMAIL}, "agent_id"),
        ({"agent_id": "a", "received_from": "orders"}, "agent_id"),
        ({**BY_EMAIL, "agent_email": None}, "agent_email"),
        ({**BY_EMAIL, "agent_name": None}, "agent_name"),
        ({**BY_EMAIL, "received_from": None}, "received_from"),
        ({**BY_EMAIL, "received_from": " "}, "received_from"),
        ({**BY_EMAIL, "agent_email": "liz"}, "agent_email"),
        ({**BY_EMAIL, "agent_email": "@shop.example"}, "agent_email"),
        ({**BY_EMAIL, "agent_email": "liz smith@shop.example"}, "agent_email"),
        ({"agent_id": "x" * 513}, "agent_id"),
    ],
    ids=repr,
)
def test_any_other_sender_of_an_agents_message_is_refused_by_field(sender: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        job_from_json("create", {**WHOLE, **sender})
    assert caught.value.field == field
    if "group_id" not in sender:  # who shall be online is named in the same way
        with pytest.raises(InvalidJob) as caught:
            Agent(**sender)
        assert caught.value.field == field


@pytest.mark.parametrize("agent", [Agent("a-1"), Agent(**BY_EMAIL), Agent("ä/?#")])
def test_an_agent_survives_being_written_down(agent: Agent) -> None:
    assert Agent.from_json(agent.to_json()) == agent


def test_the_same_target_gives_the_same_text() -> None:
    turned = dict(reversed(BY_EMAIL.items()))
    one, other = job_from_json("upsert", {**WHOLE, **BY_EMAIL}), job_from_json("upsert", {**WHOLE, **turned})
    assert one.target() == other.target()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("known", "field"),
    [
        ({"agent_id": "a"}, "visitor_id"),
        ({"visitor_id": "v", "agent_name": "Liz"}, "agent_name"),
        ({"kind": "agent", "visitor_id": "v", "group_id": "g"}, "group_id"),
        ({"kind": "sms"}, "kind"),
        ({"visitor_id": " "}, "visitor_id"),
        ({"text": ""}, "text"),
    ],
    ids=repr,
)
def test_what_is_known_of_an_adopted_message_must_fit_together(known: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        Adoption("order:1", "m-1", **known)
    assert caught.value.field == field


def test_an_adopted_messages_target_is_known_only_as_a_whole() -> None:
    assert Adoption("order:1", "m-1", kind="agent", visitor_id="v-1").target() == ""
    assert json.loads(Adoption("order:1", "m-1", visitor_id="v-1", group_id="g").target()) == {
        "visitorId": "v-1",
        "groupId": "g",
    }

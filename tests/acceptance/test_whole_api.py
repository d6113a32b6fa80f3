"""Everything the API can do, through real workers, a real ledger and real HTTP: both kinds, reading back, presence."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pushledger import Agent

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

BY_EMAIL = {"agent_email": "liz@shop.example", "agent_name": "Liz", "received_from": "order-bot"}
COLLECTIONS = {"pushed": "pushedMessages", "agent": "messages"}
SENDERS = {"pushed": {"agent_id": "a-1"}, "agent": BY_EMAIL}


def elsewhere(stage: Stage, method: str, kind: str, message_id: str, **body: str) -> Any:
    """Somebody reads or changes a message behind the ledger's back, as a person in the inbox may."""
    answer = httpx.request(
        method,
        f"{stage.sandbox.url}/conversations/{COLLECTIONS[kind]}/{message_id}",
        headers={"api-key": "another"},
        json=body or None,
    )
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def deliver(stage: Stage, wait_until: WaitUntil, kind: str, number: int = 1, text: str = "Order received") -> str:
    local_id, visitor = f"order:{number}", f"visitor-{number}"
    stage.messages.create(local_id, kind=kind, visitor_id=visitor, text=text, **SENDERS[kind])  # type: ignore[arg-type]
    wait_until(lambda: stage.message(local_id).state == "delivered", 10, f"{local_id} is delivered")
    message_id = stage.message(local_id).message_id
    assert message_id
    return message_id


def verified(stage: Stage, *arguments: str, **settings: str) -> Any:
    done = stage.run("verify", *arguments, "--json", **settings)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["pushed", "agent"])
def test_a_message_of_either_kind_lives_by_its_local_id_alone(stage: Stage, wait_until: WaitUntil, kind: str) -> None:
    stage.worker()
    message_id = deliver(stage, wait_until, kind)
    stage.messages.update("order:1", text="Shipped")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 10, "the update is shown")
    shown = elsewhere(stage, "GET", kind, message_id)
    assert (shown["text"], shown["isPushed"]) == ("Shipped", kind == "pushed")
    if kind == "agent":
        assert (shown["receivedFrom"], shown["agentName"]) == ("order-bot", "Liz")
    stage.messages.delete("order:1")
    wait_until(lambda: stage.message("order:1").state == "deleted", 10, "it is deleted")
    assert stage.sandbox.seen_by("visitor-1") == []
    asked = [
        one["path"].removeprefix("/v3/conversations/") for one in stage.sandbox.requests() if one["method"] != "GET"
    ]
    collection = COLLECTIONS[kind]
    assert asked == [collection, f"{collection}/{message_id}", f"{collection}/{message_id}"]


@pytest.mark.parametrize("kind", ["pushed", "agent"])
def test_what_is_shown_otherwise_is_found_and_repaired(stage: Stage, wait_until: WaitUntil, kind: str) -> None:
    stage.worker(RETENTION="1h")
    message_id = deliver(stage, wait_until, kind)
    same = verified(stage, "order:1")
    assert (same["finding"], same["message_id"], same["remedy"]) == ("same", message_id, "nothing to do")

    elsewhere(stage, "PUT", kind, message_id, text="Written by hand")
    differs = verified(stage, "order:1", "--repair", RETENTION="1h")
    assert (differs["finding"], differs["repaired"]) == ("differs", "queued")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "it is edited back")
    wait_until(lambda: stage.rests("order:1"), 10, "it is at rest")

    elsewhere(stage, "DELETE", kind, message_id)
    gone = verified(stage, "order:1")
    assert (gone["finding"], gone["repaired"], gone["remedy"]) == ("gone", None, "repair creates it anew")
    assert stage.sandbox.seen_by("visitor-1") == [], "nothing was asked for, nothing was done"
    assert verified(stage, "order:1", "--repair", RETENTION="1h")["repaired"] == "queued"
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "it is created anew")
    wait_until(lambda: stage.rests("order:1"), 10, "it is at rest")
    assert stage.message("order:1").message_id != message_id


def test_the_exit_status_says_whether_all_is_as_it_should_be(stage: Stage, wait_until: WaitUntil) -> None:
    stage.worker()
    message_id = deliver(stage, wait_until, "pushed")
    assert stage.run("verify", "order:1").returncode == 0
    elsewhere(stage, "PUT", "pushed", message_id, text="Written by hand")
    done = stage.run("verify", "order:1")
    assert done.returncode == 1
    assert "order:1: differs; repair marks it failed (differs); then update or upsert it" in done.stdout
    repaired = stage.run("verify", "order:1", "--repair")
    assert (repaired.returncode, "upsert it" in repaired.stdout) == (1, True), "there is something left to do"
    unknown = stage.run("verify", "order:404")
    assert (unknown.returncode, "order:404" in unknown.stderr) == (2, True)


def test_readings_are_drawn_from_the_budget(stage: Stage, wait_until: WaitUntil) -> None:
    stage.worker(RATE="2/hour")
    deliver(stage, wait_until, "pushed")
    assert verified(stage, "order:1", RATE="2/hour")["finding"] == "same"
    spent = verified(stage, "order:1", "--wait", "1s", RATE="2/hour")
    assert (spent["finding"], spent["cost_a_call"]) == ("unread", False)
    assert "the budget is spent" in spent["detail"]
    assert len(stage.sandbox.requests()) == 2


def test_a_walk_keeps_to_its_calls_and_says_where_to_go_on(stage: Stage, wait_until: WaitUntil) -> None:
    stage.worker(INFLIGHT="8")
    for number in range(6):
        stage.create(number)
    wait_until(stage.is_idle, 20, "all are delivered")
    elsewhere(stage, "DELETE", "pushed", stage.message("order:4").message_id or "")
    done = stage.run("verify", "--all-state", "delivered", "--calls", "4")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "4 same")
    assert "4 of 6 looked at; go on with --after order:3" in done.stderr
    assert len(stage.sandbox.requests("GET")) == 4
    rest = verified(stage, "--all-state", "delivered", "--after", "order:3")
    assert [(one["local_id"], one["finding"]) for one in rest] == [("order:4", "gone"), ("order:5", "same")]


def test_an_unknown_field_or_value_in_an_answer_breaks_nothing(stage: Stage, wait_until: WaitUntil) -> None:
    strange = json.dumps(
        {
            "id": "m-1",
            "type": "hologram",
            "createdAt": -5,
            "isPushed": "perhaps",
            "new": {"deep": [None]},
            "html": 7,
        }
    )
    stage.sandbox.fault("bad_body", methods=["POST"], body=strange)
    stage.worker()
    deliver(stage, wait_until, "pushed")
    assert stage.message("order:1").message_id == "m-1"


def test_an_agent_is_kept_online_by_one_ping_a_period_through_killed_workers(
    stage: Stage, wait_until: WaitUntil
) -> None:
    """Two workers of two processes each; all are killed in between."""
    settings = {"PING_EVERY": "10s", "CONCURRENCY": "2"}
    first = [stage.worker(**settings) for _ in range(2)]
    said = stage.run(
        "presence",
        "online",
        "--agent-email",
        "liz@shop.example",
        "--agent-name",
        "Liz",
        "--received-from",
        "order-bot",
        "--for",
        "1h",
        PING_EVERY="10s",
    )
    assert "costs 360 calls an hour, where 100 calls in 1:00:00 are allowed for everything" in said.stdout, said.stderr
    stage.messages.keep_online("a-1", for_=timedelta(hours=1))

    def pings() -> list[dict[str, Any]]:
        return [one for one in stage.sandbox.requests("POST") if one["path"].endswith("agentOnlinePing")]

    wait_until(lambda: len(pings()) == 2, 10, "both agents are pinged")
    for worker in first:
        worker.kill()
    for _ in range(2):
        stage.worker(**settings)
    wait_until(lambda: len(pings()) == 4, 20, "both are pinged again")
    bodies = [json.dumps(one["body"], sort_keys=True) for one in pings()]
    assert sorted(bodies) == sorted(2 * sorted(set(bodies))), "each was pinged twice"
    assert stage.messages.go_offline("a-1")
    assert stage.messages.go_offline(Agent(**BY_EMAIL))
    assert stage.messages.presences() == []

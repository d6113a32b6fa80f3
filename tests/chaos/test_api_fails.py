"""The API cuts connections in the middle of a call, goes away, refuses the key, and sets its limits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from chaos.conftest import passed, sized
from pushledger_worker.verdict import TROUBLES_IN_A_ROW

if TYPE_CHECKING:
    from chaos.conftest import Scene
    from conftest import WaitUntil


def test_connections_are_cut_in_the_middle_of_a_create(scene: Scene) -> None:
    """Promise 5: whether or not the request arrived, nobody knows; sent again within the limit, then held."""
    proxy = scene.api_proxy()
    proxy.spoil("POST", "before", containing='"visitor-0"')
    proxy.spoil("POST", "after", containing='"visitor-2"')
    proxy.spoil("POST", "after", times=9, containing='"visitor-4"')
    proxy.spoil("POST", "before", times=9, containing='"visitor-6"')
    proxy.spoil("POST", "before", times=9, containing='"visitor-8"')
    proxy.spoil("POST", "after", times=9, containing='"visitor-10"')
    scene.worker(api=proxy, INFLIGHT="2")
    for number in range(12):
        scene.shop.create(number, max_resends=0 if number in (8, 10) else 1)
    scene.trouble_is_over()
    found = scene.verdict()
    scene.remark(f"{proxy.struck['POST']} creates cut")
    copies = {number: len(scene.stage.sandbox.seen_by(f"visitor-{number}")) for number in range(12)}
    assert copies == dict.fromkeys(range(12), 1) | {2: 2, 4: 2, 6: 0, 8: 0}
    states = {number: scene.stage.message(f"order:{number}").state for number in range(12)}
    assert states == dict.fromkeys(range(12), "delivered") | dict.fromkeys((4, 6, 8, 10), "held")
    assert found.held == 4
    assert proxy.struck["POST"] == 8


def test_connections_are_cut_in_the_middle_of_edits_and_removals(scene: Scene, wait_until: WaitUntil) -> None:
    """They may be repeated freely: every message comes to its newest text, or is gone."""
    proxy = scene.api_proxy()
    scene.worker(api=proxy)
    scene.shop.create(*range(20))
    wait_until(scene.stage.is_idle, 10, "all are shown")
    for how in ("before", "after"):
        proxy.spoil("PUT", how, every=4, times=2)
        proxy.spoil("DELETE", how, every=4, times=2)
    scene.shop.update(*range(10), text="Packed")
    scene.shop.delete(*range(10, 20))
    scene.trouble_is_over()
    found = scene.verdict()
    scene.remark(f"{proxy.struck['PUT']} edits and {proxy.struck['DELETE']} removals cut")
    assert found.right == 20
    assert found.doubled == 0


IN_THE_AIR = 4
OUTAGES = [
    pytest.param("refused", id="connections refused"),
    pytest.param("error_before", id="503"),
    pytest.param("unauthorized", id="key refused"),
]


@pytest.mark.parametrize("outage", OUTAGES[: sized(3, 1)])
def test_the_api_is_away_for_a_while(scene: Scene, wait_until: WaitUntil, outage: str) -> None:
    """Promise 8: the account pauses; no message fails, and only creates in the air at that moment use an attempt."""
    proxy = scene.api_proxy()
    scene.stage.sandbox.chances({"kind": "latency", "seconds": 0.1, "probability": 1.0})
    worker = scene.worker(api=proxy, CONCURRENCY="1", INFLIGHT=f"{IN_THE_AIR}", GIVE_UP_AFTER="1s")
    scene.shop.create(*range(20))
    wait_until(scene.posts_in_the_air, 5, "creates are in the air")
    if outage == "refused":
        proxy.shut()
    else:
        status = {"status": 503} if outage == "error_before" else {}
        scene.stage.sandbox.chances({"kind": outage, "probability": 1.0, **status})
    over = passed(sized(5, 3))
    scene.shop.create(*range(20, 60))
    wait_until(lambda: scene.stage.messages.account().pause, 10, "the account pauses")
    wait_until(over, 10, "the outage goes on")
    waiting = [scene.stage.message(f"order:{number}") for number in range(60)]
    assert not any(one.state in ("failed", "held") for one in waiting)
    # Trouble met in a row before the pause stands, what is in the air then, and as much again for probes.
    used = 0 if outage == "unauthorized" else TROUBLES_IN_A_ROW + 2 * IN_THE_AIR
    assert sum(one.attempts for one in waiting) <= used
    scene.stage.sandbox.chances()
    if outage == "refused":
        proxy.open()
    scene.trouble_is_over()
    found = scene.verdict()
    assert (found.right, found.held) == (60, 0)
    assert found.doubled <= IN_THE_AIR
    assert worker.process.poll() is None


# ---------------------------------------------------------------- the limit of calls

CALLS, SECONDS = sized((60, 10.0), (30, 2.0))
RATE = f"{CALLS}/{SECONDS:g}s"
MESSAGES = sized(100, 50)


def span(calls: list[dict[str, Any]]) -> float:
    """Seconds from the first call to the end of the last."""
    ends: float = max(one["finished_at"] for one in calls)
    return ends - float(min(one["received_at"] for one in calls))


def say_three_versions(scene: Scene, messages: int) -> None:
    for start in range(0, messages, 10):
        scene.shop.create(*range(start, start + 10))
    for text in ("Packed", "Shipped"):
        for start in range(0, messages, 10):
            scene.shop.update(*range(start, start + 10), text=text)


def test_three_versions_enqueued_before_the_worker_starts_cost_one_call_each(scene: Scene) -> None:
    """Promise 3 and 6: as many calls as messages, within two windows, and none refused."""
    scene.stage.sandbox.rate(RATE)
    say_three_versions(scene, MESSAGES)
    scene.worker(RATE=RATE)
    scene.trouble_is_over()
    found = scene.verdict()
    calls = scene.stage.sandbox.requests()
    scene.remark(f"{len(calls)} calls in {span(calls):.1f} s at {RATE}, none answered 429")
    assert found.right == MESSAGES
    assert scene.stage.sandbox.stats()["statuses"] == {"200": MESSAGES}
    assert span(calls) < 2 * SECONDS


def test_three_versions_enqueued_while_the_worker_runs(scene: Scene) -> None:
    """Promise 3 and 6: at most two calls for three versions, within three windows, and none refused."""
    scene.stage.sandbox.rate(RATE)
    scene.worker(RATE=RATE)
    say_three_versions(scene, MESSAGES)
    scene.trouble_is_over()
    found = scene.verdict()
    calls = scene.stage.sandbox.requests()
    scene.remark(f"{len(calls)} calls in {span(calls):.1f} s at {RATE}, none answered 429")
    assert found.right == MESSAGES
    assert scene.stage.sandbox.stats()["statuses"] == {"200": len(calls)}
    assert len(calls) <= 2 * MESSAGES
    assert span(calls) < 3 * SECONDS


def test_a_key_shared_with_another_client_meets_a_handful_of_429(scene: Scene) -> None:
    """What the other one spends is heard in the answers; a 429 costs no attempt."""
    messages = sized(100, 30)
    scene.stage.sandbox.rate(RATE)
    done = threading.Event()

    def spend_half() -> None:
        """Take half of each window as soon as it is there, as a client without any patience does."""
        url = f"{scene.stage.sandbox.url}/conversations/pushedMessages/unknown"
        with httpx.Client(trust_env=False, headers={"api-key": "a-key-of-another"}) as client:
            while not done.wait(0.01):
                if (
                    client.get(f"{scene.stage.sandbox.url.removesuffix('/v3')}/sandbox/rate").json()["remaining"]
                    == CALLS
                ):
                    for _ in range(CALLS // 2):
                        client.get(url)

    other = threading.Thread(target=spend_half)
    other.start()
    try:
        scene.worker(RATE=RATE)
        say_three_versions(scene, messages)
        scene.trouble_is_over()
        found = scene.verdict()
    finally:
        done.set()
        other.join(10)
    calls = [one for one in scene.stage.sandbox.requests() if one["headers"]["user-agent"] == "pushledger"]
    refused = sum(one["status"] == 429 for one in calls)
    scene.remark(f"{len(calls)} calls in {span(calls):.1f} s, {refused} of them answered 429")
    assert found.right == messages
    assert refused <= 5

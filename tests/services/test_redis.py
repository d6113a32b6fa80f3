"""Debian's own Redis, older than what the other tests use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import WaitUntil
    from services.conftest import StageOn
    from services.redis_server import RedisServer


def test_a_message_is_created_edited_and_deleted_over_it(
    servers: Callable[..., RedisServer], stage_on: StageOn, wait_until: WaitUntil
) -> None:
    stage = stage_on(servers())
    stage.worker()
    order = stage.create(1)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "the create is shown")
    stage.messages.update(order, text="Shipped")
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Shipped"], 10, "the update is shown")
    stage.messages.delete(order)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == [], 10, "the delete is done")
    checked = {check["name"]: check["outcome"] for check in stage.json("check")["checks"]}
    assert {name: checked[name] for name in ("server", "broker", "worker", "persistence")} == dict.fromkeys(
        ("server", "broker", "worker", "persistence"), "ok"
    )

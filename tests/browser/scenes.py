"""Brings the messages of a shop into the states that a page is to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from acceptance.conftest import Stage
from browser.waiting import awaited
from pushledger import Create

LATER = timedelta(hours=5)
HOSTILE = """<script>alert("script")</script>"><img src=x onerror=alert("image")>'><svg/onload=alert("svg")>{{7*7}}"""
TURNED = "order\u202egnp.exe\u2066\u200f\u0007"


class Scene:
    """Creates messages whose calls go as ordered; ``settled`` waits until the worker has brought them there."""

    def __init__(self, shop: Stage) -> None:
        self.shop = shop
        self._wanted: dict[str, str] = {}

    def _create(self, local_id: str, state: str, fault: str = "", **options: Any) -> str:
        given = {"visitor_id": f"visitor of {local_id}", "agent_id": "agent", "text": f"Text of {local_id}", **options}
        if fault:
            self.shop.sandbox.fault(fault, methods=["POST"], visitor_id=given["visitor_id"])
        self.shop.messages.create(local_id, **given)
        self._wanted[local_id] = state
        return local_id

    def delivered(self, local_id: str, **options: Any) -> str:
        """Its visitor sees it."""
        return self._create(local_id, "delivered", **options)

    def marked(self, local_id: str, **options: Any) -> str:
        """Delivered, and perhaps twice: the first answer was lost."""
        return self._create(local_id, "delivered", "reset_after", max_resends=1, **options)

    def held(self, local_id: str, **options: Any) -> str:
        """The answer was lost, and it must not be sent again."""
        return self._create(local_id, "held", "reset_after", max_resends=0, **options)

    def failed(self, local_id: str, **options: Any) -> str:
        """The API refused it for good."""
        return self._create(local_id, "failed", "refused", **options)

    def waiting(self, local_id: str, **options: Any) -> str:
        """Not to be shown before some hours are over."""
        return self._create(local_id, "queued", not_before=datetime.now(UTC) + LATER, **options)

    def many_failed(self, number: int) -> None:
        """So many that the API refused, called ``failed:0`` and so on."""
        self.shop.sandbox.fault("refused", methods=["POST"], text_contains="refuse this", times=number)
        self.shop.messages.submit(
            Create(f"failed:{one}", f"visitor-{one}", "refuse this", "agent") for one in range(number)
        )
        awaited(lambda: self.shop.messages.counts()["failed"] == number, 30, "the API refuses all")

    def many_waiting(self, number: int) -> None:
        """So many that are not to be shown before some hours are over, called ``waiting:0`` and so on."""
        later = datetime.now(UTC) + LATER
        self.shop.messages.submit(
            Create(f"waiting:{one}", f"visitor-{one}", "wait", "agent", not_before=later) for one in range(number)
        )

    def settled(self) -> None:
        """Wait until all are as wanted."""
        awaited(lambda: self._states() == self._wanted, 20, f"the worker brings {self._wanted}")

    def becomes(self, local_id: str, state: str) -> None:
        """Wait until a message comes to a state."""
        awaited(lambda: self.shop.message(local_id).state == state, 20, f"{local_id} is {state}")

    def _states(self) -> dict[str, str]:
        return {local_id: self.shop.message(local_id).state for local_id in self._wanted}


def filled(shop: Stage) -> Scene:
    """One message of each kind, and some with what nobody should write into a page."""
    scene = Scene(shop)
    scene.delivered("order:1")
    scene.marked("order:2")
    scene.held("order:3")
    scene.failed("order:4")
    scene.waiting("order:5")
    scene.waiting(f"order:{HOSTILE}", text=HOSTILE, visitor_id=HOSTILE)
    scene.held(HOSTILE, text=HOSTILE, visitor_id=f"held {HOSTILE}")
    scene.failed(TURNED, text=f"{HOSTILE} {TURNED}", visitor_id=TURNED)
    scene.settled()
    return scene

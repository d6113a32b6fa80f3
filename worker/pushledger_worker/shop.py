"""An imaginary shop, for the demos: orders move on, are cancelled, and some events come again or late."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass

from pushledger.errors import LedgerUnavailable
from pushledger.messages import Messages
from pushledger.orders import OrderStatus, Status

__all__ = ["DEMO_AGENT", "Event", "imagine_shop", "keep_shop", "visitor_of", "waiting_in"]

log = logging.getLogger(__name__)

DEMO_AGENT = "d9nKoegKSjmCtyK78"
ORDERS_A_DAY = 20
DAY_SECONDS = 60.0
MOST_WAITING = 100
TRY_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens to an order: at which second, which status, as which version."""

    at: float
    order: str
    status: Status
    version: int


def imagine_shop(orders: int, seconds: float, dice: random.Random, first: int = 1000) -> list[Event]:
    """What happens in the shop: each order moves through 3 to 5 statuses, one in ten is cancelled on the way.

    One event in twenty comes again, and one in twenty comes late, after its successor.
    """
    path = [Status.RECEIVED, Status.PAID, Status.PACKED, Status.SHIPPED, Status.DELIVERED]
    events: list[Event] = []
    for number in range(first, first + orders):
        steps = path[: dice.randint(3, 5)]
        if dice.random() < 0.1:
            steps = [*steps[: dice.randint(2, len(steps) - 1)], Status.CANCELLED]
        times = sorted(dice.uniform(0, seconds) for _ in steps)
        for version, (at, status) in enumerate(zip(times, steps, strict=True), start=1):
            # A first event that came late would be an update before its create; an upsert makes that harmless.
            late = seconds / 6 if version > 1 and dice.random() < 0.05 else 0.0
            events.append(Event(at + late, f"{number}", status, version))
            if dice.random() < 0.05:
                events.append(Event(at + dice.uniform(0, 1), f"{number}", status, version))
    return sorted(events, key=lambda event: event.at)


def visitor_of(order: str) -> str:
    """Who ordered: each order has a visitor of its own."""
    return f"visitor-{order}"


def waiting_in(messages: Messages) -> int:
    """How many messages are not at rest yet."""
    counts = messages.counts()
    return counts["queued"] + counts["sending"] + counts["retrying"]


def keep_shop(messages: Messages, stopping: threading.Event) -> None:
    """Let orders come in, one small day after the other, until ``stopping`` is set.

    Gently: about 80 jobs a minute, and none while many messages wait or Redis is away.
    """
    dice = random.Random()  # noqa: S311  # a show, not a secret
    while not stopping.is_set():
        # The number of the first order is the time, so that a shop that is started again does not reuse any.
        day = imagine_shop(ORDERS_A_DAY, DAY_SECONDS, dice, first=int(time.time()))
        _run_day(day, OrderStatus(messages, agent_id=DEMO_AGENT), messages, stopping)


def _run_day(day: list[Event], shop: OrderStatus, messages: Messages, stopping: threading.Event) -> None:
    begun = time.monotonic()
    for event in day:
        stopping.wait(event.at - (time.monotonic() - begun))
        while not stopping.is_set() and not _has_happened(event, shop, messages):
            stopping.wait(TRY_AGAIN_SECONDS)
        if stopping.is_set():
            return
    log.info("%d more orders, %d events", ORDERS_A_DAY, len(day))


def _has_happened(event: Event, shop: OrderStatus, messages: Messages) -> bool:
    try:
        if waiting_in(messages) >= MOST_WAITING:
            return False
        shop.moved(event.order, event.status, visitor_id=visitor_of(event.order), version=event.version)
    except LedgerUnavailable as error:
        log.warning("the shop waits: %s", error)
        return False
    return True

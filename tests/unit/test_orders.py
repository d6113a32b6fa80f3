"""One message per order, whatever the order of events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import fakeredis
import pytest
from pushledger import InvalidJob, Messages, Receipt, Settings, SettingsError, TargetChanged
from pushledger.jobs import Delete, Upsert
from pushledger.ledger import Ledger, LedgerPolicy
from pushledger.ledger.connection import Connection
from pushledger.messages import AsyncMessages
from pushledger.orders import (
    DEFAULT_TEMPLATES,
    AsyncOrderStatus,
    OrderStatus,
    OrderTexts,
    Status,
    order_job,
)
from pushledger.wakeup import WakeUps

SHOWN: list[Status] = [status for status in Status if status is not Status.CANCELLED]
PLAIN: dict[Status, str] = {status: f"{status} {{order_number}}" for status in SHOWN}


class NoWakeUps(WakeUps):
    """There is no broker here."""

    def publish(self, account: str) -> bool:
        return True


@pytest.fixture
def messages() -> Iterator[Messages]:
    client = fakeredis.FakeRedis(decode_responses=True)
    ledger = Ledger(Connection(client), "default", LedgerPolicy())
    settings = Settings(broker_url="memory://")
    with Messages(settings, ledger=ledger, wake_ups=NoWakeUps("memory://")) as made:
        yield made


@pytest.fixture
def orders(messages: Messages) -> OrderStatus:
    return OrderStatus(messages, agent_id="a")


def text_of(messages: Messages, number: str = "1042") -> str | None:
    message = messages.get(f"order:{number}")
    return message.text if message and message.wish == "show" else None


# ---------------------------------------------------------------- moving on


def test_an_order_has_one_message_that_is_edited(orders: OrderStatus, messages: Messages) -> None:
    for version, status in enumerate(SHOWN):
        receipt = orders.moved("1042", status, visitor_id="v", version=version)
        assert receipt is not None
        assert receipt.local_id == orders.local_id("1042") == "order:1042"
        assert receipt.revision == version + 1
    assert text_of(messages) == "Your order 1042 has been delivered. Enjoy!"


def test_events_in_any_order_end_with_the_newest(messages: Messages) -> None:
    for number, arrivals in enumerate(permutations(enumerate(SHOWN[:4]))):
        orders = OrderStatus(messages, agent_id="a", templates={"en": PLAIN})
        for version, status in arrivals:
            orders.moved(str(number), status, visitor_id="v", version=version)
        assert text_of(messages, str(number)) == f"shipped {number}"


def test_an_event_that_comes_twice_changes_nothing(orders: OrderStatus, messages: Messages) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    first = orders.moved("1042", Status.PAID, visitor_id="v", version=at)
    assert first is not None
    assert orders.moved("1042", Status.PAID, visitor_id="v", version=at) == Receipt("order:1042", 1, "unchanged")
    earlier = at - timedelta(microseconds=1)
    assert orders.moved("1042", Status.RECEIVED, visitor_id="v", version=earlier) == Receipt("order:1042", 1, "stale")
    assert text_of(messages) == "Your order 1042 is paid. We are getting it ready."


def test_a_cancelled_order_is_taken_away(orders: OrderStatus, messages: Messages) -> None:
    orders.moved("1042", Status.PAID, visitor_id="v", version=1)
    assert orders.moved("1042", Status.CANCELLED, visitor_id="v", version=2) is not None
    message = messages.get("order:1042")
    assert message is not None
    assert message.wish == "gone"


def test_an_older_event_after_the_cancellation_shows_nothing(orders: OrderStatus, messages: Messages) -> None:
    orders.moved("1042", Status.RECEIVED, visitor_id="v", version=1)
    orders.moved("1042", Status.CANCELLED, visitor_id="v", version=3)
    late = orders.moved("1042", Status.PAID, visitor_id="v", version=2)
    assert late is not None
    assert late.outcome == "stale"
    assert text_of(messages) is None


def test_an_older_cancellation_takes_nothing_away(orders: OrderStatus, messages: Messages) -> None:
    orders.moved("1042", Status.PAID, visitor_id="v", version=2)
    late = orders.moved("1042", Status.CANCELLED, visitor_id="v", version=1)
    assert late is not None
    assert late.outcome == "stale"
    assert text_of(messages) is not None


def test_an_order_that_goes_on_after_all_is_shown_again(orders: OrderStatus, messages: Messages) -> None:
    for version, status in enumerate([Status.RECEIVED, Status.CANCELLED, Status.PAID]):
        orders.moved("1042", status, visitor_id="v", version=version)
    assert text_of(messages) == "Your order 1042 is paid. We are getting it ready."


def test_cancelling_what_was_never_shown_is_harmless(orders: OrderStatus, messages: Messages) -> None:
    assert orders.moved("1042", Status.CANCELLED, visitor_id="v", version=1) is None
    assert messages.get("order:1042") is None


def test_other_refusals_are_raised(orders: OrderStatus) -> None:
    orders.moved("1042", Status.PAID, visitor_id="v", version=1)
    with pytest.raises(TargetChanged):
        orders.moved("1042", Status.PACKED, visitor_id="someone else", version=2)


def test_asyncio_does_the_same(messages: Messages) -> None:
    class Same(AsyncMessages):
        async def submit(self, jobs: Any) -> Any:
            return messages.submit(jobs)

    async def story() -> list[Receipt | None]:
        async with Same(Settings(broker_url="memory://")) as same:
            orders = AsyncOrderStatus(same, group_id="g", prefix="o:")
            return [
                await orders.moved("1", Status.CANCELLED, visitor_id="v", version=1),
                await orders.moved("1", Status.SHIPPED, visitor_id="v", version=2, tracking="T"),
            ]

    assert asyncio.run(story()) == [None, Receipt("o:1", 1, "queued")]


# ---------------------------------------------------------------- the job


def test_the_job_is_a_value() -> None:
    texts = OrderTexts()
    assert order_job(
        "7", Status.SHIPPED, texts=texts, visitor_id="v", version=3, group_id="g", prefix="o/", language="de"
    ) == Upsert("o/7", "v", "Ihre Bestellung 7 ist unterwegs.", None, "g", version=3)
    assert order_job("7", Status.CANCELLED, texts=texts, visitor_id="v", version=3) == Delete("order:7", version=3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "lost"}, "status"),
        ({"order_number": " "}, "order_number"),
        ({"order_number": 1042}, "order_number"),
        ({"version": None}, "version"),
        ({"version": -1}, "version"),
        ({"visitor_id": ""}, "visitor_id"),
    ],
    ids=repr,
)
def test_a_bad_argument_is_named(orders: OrderStatus, change: dict[str, Any], field: str) -> None:
    arguments = {"order_number": "1042", "status": Status.PAID, "visitor_id": "v", "version": 1, **change}
    with pytest.raises(InvalidJob) as caught:
        orders.moved(**arguments)
    assert caught.value.field == field


def test_a_status_may_be_given_by_its_name(orders: OrderStatus, messages: Messages) -> None:
    orders.moved("1042", "paid", visitor_id="v", version=1)  # type: ignore[arg-type]  # as JSON would bring it
    assert text_of(messages) == "Your order 1042 is paid. We are getting it ready."


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize("status", SHOWN)
@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_the_texts_shipped_need_the_order_number_only(language: str, status: Status) -> None:
    assert status in DEFAULT_TEMPLATES[language]
    text = OrderTexts().text(status, language, {"order_number": "#1042"})
    assert "#1042" in text
    assert "{" not in text


def test_the_first_text_whose_fields_are_all_given_is_taken() -> None:
    texts, number = OrderTexts(), {"order_number": "1"}
    with_tracking = "Your order 1 is on its way. Tracking number: T9"
    assert texts.text(Status.SHIPPED, "en", {**number, "tracking": "T9"}) == with_tracking
    assert texts.text(Status.SHIPPED, "en", {**number, "tracking": None}) == "Your order 1 is on its way."


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (None, "paid 1"),
        ("en", "paid 1"),
        ("de", "bezahlt 1"),
        ("DE", "bezahlt 1"),
        ("de-CH", "zalt 1"),
        ("de_CH", "zalt 1"),
        ("de-AT", "bezahlt 1"),
        ("it", "paid 1"),
    ],
)
def test_a_language_falls_back(language: str | None, text: str) -> None:
    by_language: dict[str, dict[Status, str]] = {
        "en": PLAIN,
        "de": {Status.PAID: "bezahlt {order_number}"},
        "de-CH": {Status.PAID: "zalt {order_number}"},
    }
    assert OrderTexts(by_language).text(Status.PAID, language, {"order_number": "1"}) == text


def test_a_status_that_a_language_lacks_falls_back() -> None:
    texts = OrderTexts({"en": PLAIN, "de": {Status.PAID: "bezahlt"}})
    assert texts.text(Status.PACKED, "de", {"order_number": "1"}) == "packed 1"


def test_a_missing_field_is_named_with_status_and_language() -> None:
    texts = OrderTexts({"en": PLAIN, "de": {Status.SHIPPED: ("{carrier} {tracking}", "Mit {carrier}")}})
    with pytest.raises(InvalidJob, match=r"^carrier: the text for shipped in de needs it$"):
        texts.text(Status.SHIPPED, "de", {"order_number": "1", "tracking": "T"})


def test_values_are_put_in_as_they_are() -> None:
    texts = OrderTexts({"en": PLAIN | {Status.PAID: "{{{order_number}}} {total}"}})
    fields = {"order_number": "{total.__class__}", "total": 12}
    assert texts.text(Status.PAID, "en", fields) == "{{total.__class__}} 12"


@pytest.mark.parametrize(
    ("template", "rule"),
    [
        ("{order_number.__class__}", "plain fields"),
        ("{order_number[0]}", "plain fields"),
        ("{order_number!r}", "plain fields"),
        ("{order_number:>10}", "plain fields"),
        ("{}", "plain fields"),
        ("{0}", "plain fields"),
        ("{", "malformed"),
        ("}", "malformed"),
        ("{version}", "argument of moved"),
        ("{self}", "argument of moved"),
        (" ", "not blank"),
        ("", "not blank"),
        ((None,), "not blank"),
        ((), "must have a text"),
        (("fine", "{order_number!r}"), "plain fields"),
    ],
    ids=repr,
)
def test_a_bad_template_is_refused_at_once(messages: Messages, template: Any, rule: str) -> None:
    with pytest.raises(SettingsError, match=rf"^templates: fr, paid: .*({rule})"):
        OrderStatus(messages, agent_id="a", templates={"en": PLAIN, "fr": {Status.PAID: template}})


@pytest.mark.parametrize(
    ("templates", "default_language", "names"),
    [
        ({"en": {Status.PAID: "paid"}}, "en", "en, received"),
        ({"en": PLAIN}, "de", "de, received"),
        ({}, "en", "en, received"),
        ({"en": PLAIN | {Status.CANCELLED: "gone"}}, "en", "en, cancelled"),
        ({"en": PLAIN | {"lost": "gone"}}, "en", "en, lost"),
    ],
    ids=repr,
)
def test_the_set_of_texts_is_checked_at_once(templates: Any, default_language: str, names: str) -> None:
    with pytest.raises(SettingsError, match=f"^templates: {names}: "):
        OrderTexts(templates, default_language)


@pytest.mark.parametrize("sender", [{}, {"agent_id": "a", "group_id": "g"}])
def test_orders_speak_in_the_name_of_one(messages: Messages, sender: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="exactly one of agent_id and group_id"):
        OrderStatus(messages, agent_id=sender.get("agent_id"), group_id=sender.get("group_id"))

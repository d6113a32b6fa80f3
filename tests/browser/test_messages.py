"""Finding messages, looking at them, and deciding about them, as a person does it."""

from __future__ import annotations

import re

import pytest
from acceptance.conftest import Stage
from browser.conftest import Visit, both_ways
from browser.scenes import Scene
from browser.visit import Watch
from playwright.sync_api import Page, expect


@pytest.fixture
def scene(shop: Stage) -> Scene:
    """A few messages in different states."""
    scene = Scene(shop)
    scene.held("order:31")
    scene.held("order:32")
    scene.failed("order:41")
    scene.failed("parcel:42")
    scene.waiting("order:51")
    scene.marked("order:61")
    scene.settled()
    return scene


def local_ids(page: Page) -> list[str]:
    """The messages of the list that is shown."""
    return sorted(row.get_by_role("link").first.inner_text() for row in page.get_by_role("rowheader").all())


# ---------------------------------------------------------------- find


@both_ways
def test_a_list_is_filtered_by_state_and_beginning(scene: Scene, visit: Visit, scripts: bool) -> None:
    page = visit(scripts=scripts)
    page.goto("/")
    page.get_by_role("link", name="Messages", exact=True).click()
    page.get_by_role("navigation", name="States").get_by_role("link", name="failed").click()
    expect(page.get_by_role("heading", level=1, name="Failed messages")).to_be_visible()
    assert local_ids(page) == ["order:41", "parcel:42"]
    page.get_by_role("textbox", name="Find").fill("parcel:")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("rowheader")).to_have_count(1)
    assert local_ids(page) == ["parcel:42"]
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_role("rowheader")).to_have_count(2)


@both_ways
def test_a_message_is_found_by_its_id_at_the_api_and_by_its_visitor(scene: Scene, visit: Visit, scripts: bool) -> None:
    page = visit(scripts=scripts)
    message_id = scene.shop.messages.message_id("order:61")
    for by, sought, found in (("message id", message_id, "order:61"), ("visitor", "visitor of order:51", "order:51")):
        page.goto("/messages")
        page.get_by_role("textbox", name="Find").fill(sought or "")
        page.get_by_role("combobox", name="by").select_option(label=by)
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        while not page.get_by_role("rowheader").count():  # a search looks only so long at a time
            page.get_by_role("link", name="Go on").first.click()
        assert local_ids(page) == [found]


def test_what_is_not_there_is_said(scene: Scene, visit: Visit) -> None:
    page = visit()
    page.goto("/messages?q=order:99")
    while (further := page.get_by_role("link", name="Go on")).count():  # a search looks only so long at a time
        further.first.click()
    expect(page.get_by_text("Nothing fits what was asked for.")).to_be_visible()
    page.goto("/messages?state=expired")
    expect(page.get_by_text("Nothing expired.")).to_be_visible()


# ---------------------------------------------------------------- look


def test_a_message_says_how_it_stands_and_what_happened(scene: Scene, visit: Visit) -> None:
    page = visit()
    page.goto("/messages?state=held")
    page.get_by_role("link", name="order:31", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Message order:31")).to_be_visible()
    main = page.get_by_role("main")
    expect(main).to_contain_text("a person has to decide")
    expect(main).to_contain_text("Text of order:31")
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline.get_by_role("listitem")).to_contain_text(["accepted", "create went out", "not known", "Held"])


def test_one_that_may_stand_there_twice_is_marked(scene: Scene, visit: Visit) -> None:
    page = visit()
    page.goto("/messages?q=order:61")
    expect(page.get_by_role("rowheader")).to_contain_text("may be doubled")
    page.get_by_role("link", name="order:61", exact=True).click()
    expect(page.get_by_text("May be doubled")).to_be_visible()


def test_one_that_is_unknown_is_said_so(shop: Stage, visit: Visit, watches: list[Watch]) -> None:
    page = visit()
    watches[0].expect(404)
    page.goto("/messages/show?id=order:99")
    expect(page.get_by_role("alert")).to_contain_text("order:99")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


# ---------------------------------------------------------------- decide


def test_a_held_message_is_sent_again_and_is_seen_to_be_delivered(
    scene: Scene, visit: Visit, watches: list[Watch]
) -> None:
    scene.shop.sandbox.fault("latency", methods=["POST"], seconds=1.5)
    page = visit()
    page.goto("/messages?state=held")
    page.get_by_role("link", name="order:31", exact=True).click()
    page.get_by_role("form", name="Resend").get_by_label("Why").fill("the visitor does not see it")
    page.get_by_role("button", name="Resend").click()
    expect(page.get_by_text("order:31 will be sent once more.")).to_be_visible()
    main = page.get_by_role("main")
    expect(main.get_by_text("delivered", exact=True)).to_have_count(0)
    opened = len(watches[0].navigations)

    expect(main.get_by_text("delivered", exact=True)).to_be_visible(timeout=15_000)
    expect(page.get_by_role("region", name="Timeline")).to_contain_text("Delivered: the visitor sees the newest text")
    expect(page.get_by_role("button", name="Resend")).to_have_count(0)
    assert len(watches[0].navigations) == opened, "the page was never loaded again"
    assert scene.shop.sandbox.seen_by("visitor of order:31") == ["Text of order:31"] * 2
    entry = scene.shop.messages.audit(1)[0]
    assert (entry.action, entry.by, entry.why) == ("resend", "anna", "the visitor does not see it")


def test_without_scripts_it_is_delivered_when_the_page_is_loaded_again(scene: Scene, visit: Visit) -> None:
    page = visit(scripts=False)
    page.goto("/messages/show?id=order:31")
    page.get_by_role("button", name="Resend").click()
    expect(page.get_by_text("order:31 will be sent once more.")).to_be_visible()
    scene.becomes("order:31", "delivered")
    page.reload()
    expect(page.get_by_role("main").get_by_text("delivered", exact=True)).to_be_visible()


@both_ways
def test_a_failed_message_is_tried_again_from_the_list(scene: Scene, visit: Visit, scripts: bool) -> None:
    page = visit(scripts=scripts)
    page.goto("/messages?state=failed&q=order:")
    page.get_by_role("button", name="Retry order:41").click()
    expect(page.get_by_text("order:41 will be tried again.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/messages\?state=failed&q=order(:|%3A)"))
    scene.becomes("order:41", "delivered")
    page.reload()
    assert local_ids(page) == []


def test_a_held_message_is_resolved_with_the_id_that_was_found(scene: Scene, visit: Visit) -> None:
    page = visit()
    (copy,) = [one for one in scene.shop.sandbox.stored() if one["visitorId"] == "visitor of order:32"]
    page.goto("/messages/show?id=order:32")
    page.get_by_label("Message id of the copy").fill(copy["id"])
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("main").get_by_text("delivered", exact=True)).to_be_visible()
    assert scene.shop.messages.message_id("order:32") == copy["id"]


def test_what_was_decided_meanwhile_by_somebody_else_is_not_done_twice(
    scene: Scene, visit: Visit, watches: list[Watch]
) -> None:
    page = visit(scripts=False)
    watches[0].expect(409)
    page.goto("/messages/show?id=order:41")
    scene.shop.messages.discard("order:41")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("alert")).to_contain_text("Not done.")


# ---------------------------------------------------------------- who may only read


def test_who_may_only_read_gets_neither_buttons_nor_texts(scene: Scene, visit: Visit) -> None:
    page = visit("read")
    for path in ("/messages?state=held", "/messages/show?id=order:31", "/account", "/bulk?action=resend&state=held"):
        page.goto(path)
        buttons = {button.inner_text() for button in page.get_by_role("main").get_by_role("button").all()}
        assert buttons <= {"Find", "Dry run"}, path
        assert "Text of" not in page.content(), path
        assert "visitor of" not in page.content(), path
    page.goto("/messages/show?id=order:31")
    expect(page.get_by_text("hidden from those who may only read")).to_be_visible()


# ---------------------------------------------------------------- the keyboard alone


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control of this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("(document.activeElement.ariaLabel ?? '') || document.activeElement.innerText")
        if focused.strip() == name:
            return
    raise AssertionError(f"Tab never comes to {name}")


def test_the_keyboard_alone_reaches_and_does_everything(scene: Scene, visit: Visit) -> None:
    page = visit()
    page.goto("/messages/show?id=order:31")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("main").get_by_role("link").first).to_be_focused()
    tab_to(page, "Resend")
    page.keyboard.press("Enter")
    expect(page.get_by_role("main").get_by_text("delivered", exact=True)).to_be_visible()

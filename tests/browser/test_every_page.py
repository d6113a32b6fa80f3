"""What must be true of every page, whoever opens it and however it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from acceptance.conftest import Stage
from browser.accessibility import severe_findings
from browser.conftest import Role, Visit, both_ways
from browser.scenes import HOSTILE, TURNED, filled
from browser.visit import Watch
from playwright.sync_api import Page, expect

PAGES = [
    "/",
    "/messages",
    *(f"/messages?state={state}" for state in ("queued", "held", "expired")),
    *(f"/messages/show?{urlencode({'id': one})}" for one in ("order:2", "order:5", HOSTILE, TURNED)),
    f"/messages?{urlencode({'q': HOSTILE})}",
    "/bulk",
    f"/bulk?{urlencode({'action': 'resend', 'state': 'held', 'prefix': HOSTILE, 'why': HOSTILE})}",
    f"/messages/forget?{urlencode({'id': HOSTILE})}",
    "/account",
    "/audit",
    "/of-nobody",
]
DIFFERENT_FOR_READERS = ["/messages?state=held", "/messages/show?id=order:3", "/account"]
# Elements that no template has: where there is one, a text has become part of the page.
MADE_OF_TEXT = "img:not([src^='/static/']), iframe, object, embed, [onerror], [onload], script:not([src^='/static/'])"
# Characters that turn the direction of writing, outside of what keeps them to themselves.
TURNS_WHAT_IS_AROUND = """() => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let found = "";
    while (walk.nextNode()) {
        if (!walk.currentNode.parentElement.closest("bdi")) found += walk.currentNode.data;
    }
    return found.replace(/[^\u0007\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
}"""
shown_as = pytest.mark.parametrize("scheme", ["light", "dark"])


def opened(page: Page, role: Role = "operate") -> Iterator[str]:
    """Open every page, one at each step; those that other roles see otherwise."""
    for path in PAGES if role == "operate" else DIFFERENT_FOR_READERS:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        yield path


@pytest.fixture
def crowd(shop: Stage) -> Stage:
    """A shop that holds a message of each kind, some with what nobody should write into a page."""
    filled(shop)
    # So that the audit trail and the account's page show it too.
    shop.messages.discard(TURNED, by=HOSTILE[:100], why=HOSTILE)
    shop.messages.pause(reason=HOSTILE, by=HOSTILE[:100], why=HOSTILE)
    return shop


@pytest.mark.parametrize("role", ["operate", "read"])
def test_axe_finds_nothing_severe(crowd: Stage, visit: Visit, watches: list[Watch], role: Role) -> None:
    page = visit(role)
    watches[0].expect(404)
    assert not [finding for _ in opened(page, role) for finding in severe_findings(page)]


def test_axe_finds_nothing_severe_before_the_login(shop: Stage, visit: Visit, watches: list[Watch]) -> None:
    page = visit(None)
    watches[0].expect(401)
    page.goto("/login")
    assert not severe_findings(page)
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert not severe_findings(page)


@both_ways
def test_what_others_wrote_is_text_and_nothing_else(
    crowd: Stage, visit: Visit, watches: list[Watch], scripts: bool
) -> None:
    page = visit(scripts=scripts)
    watches[0].expect(404)
    for path in opened(page):
        assert page.locator(MADE_OF_TEXT).count() == 0, path
        assert page.evaluate(TURNS_WHAT_IS_AROUND) == "", path


def test_a_hostile_text_is_shown_as_it_was_written(crowd: Stage, visit: Visit) -> None:
    page = visit()
    page.goto(f"/messages/show?{urlencode({'id': HOSTILE})}")
    main = page.get_by_role("main")
    expect(main.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    expect(main.get_by_text(HOSTILE, exact=True).first).to_be_visible()
    expect(main.get_by_text(f"held {HOSTILE}")).to_be_visible()


def test_a_narrow_screen_needs_no_scrolling_sideways(crowd: Stage, visit: Visit, watches: list[Watch]) -> None:
    page = visit(viewport={"width": 390, "height": 844})
    watches[0].expect(404)
    wide = {path: page.evaluate("document.scrollingElement.scrollWidth") for path in opened(page)}
    assert {path: width for path, width in wide.items() if width > 390} == {}


@shown_as
def test_the_pages_are_as_dark_as_the_person_likes(shop: Stage, visit: Visit, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    page.goto("/")
    colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    background, text = (sum(int(part) for part in re.findall(r"\d+", one)[:3]) for one in colours)
    assert (background < text) == (scheme == "dark")

"""Renders the README's pictures into docs/pictures: `make pictures`. Not a test, but made as one is.

Numbers are the same in every run, and whatever tells the time is overwritten, so that a picture only changes when the
page does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from acceptance.conftest import Sandbox, Stage, Valkey
from browser.conftest import OPERATE, start_dashboard
from browser.scenes import Scene
from playwright.sync_api import Browser, Page, expect
from pushledger.ledger.keys import Keys

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
LARGEST = 200_000
SLOT = 300  # seconds, of the overview's bars
WAVES = [3, 5, 8, 6, 9, 14, 11, 7, 4, 6, 10, 12, 15, 13, 8, 6, 5, 9, 11, 7]
# Nothing goes on by itself while the picture is taken.
STILL = "window.setTimeout = window.setInterval = () => 0;"
WITHOUT_TIME = """() => {
    const hours = ["05:45", "06:45", "07:45", "08:45"];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode;
        if (/^[0-9]{2}:[0-9]{2}$/.test(node.data)) node.data = hours.shift() ?? node.data;
        node.data = node.data
            .replace(/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}/g, "2026-03-02 09:41:07")
            .replace(/([0-9]+ (second|minute)s?|less than a second) ago|\\bnow\\b(?=\\))/g, "2 minutes ago");
    }
}"""


@pytest.fixture(scope="module")
def shop(_servers: tuple[Valkey, Sandbox], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, str]]:
    """A shop that has had some busy hours, and the address of its dashboard."""
    with ExitStack() as stack:
        stage = Stage(*_servers, tmp_path_factory.mktemp("pictures"), "shop", stack)
        stage.worker(RATE="100/hour")
        address = start_dashboard(stage, RATE="100/hour")
        _fill(Scene(stage))
        _remember_busy_hours(stage)
        yield stage, address


def _fill(scene: Scene) -> None:
    for number in range(1001, 1061):
        scene.delivered(f"order:{number}", text="Your order has left our house. Track it: 9114 5847")
    scene.marked("order:1061", text="Order received, thank you!")
    for number in range(1070, 1073):
        options = {"visitor_id": f"visitor-{number}", "text": "Your parcel is at the door. Is somebody at home?"}
        scene.held(f"order:{number}", **options)
    for number in range(1081, 1088):
        scene.failed(f"order:{number}", text="Order received, thank you!")
    for number in range(1091, 1103):
        scene.waiting(f"order:{number}", text="How do you like what you bought?")
    scene.settled()


def _remember_busy_hours(stage: Stage) -> None:
    """As a worker writes it down each minute, and as the counters stand after that."""
    keys, now = Keys(stage.account), time.time()
    calls, begins = 0, int(now // SLOT * SLOT) - 46 * SLOT
    with stage.valkey.client() as client:
        client.delete(keys.history, keys.stats)
        for number in range(46):
            calls += WAVES[number % len(WAVES)]
            at = (begins + number * SLOT + SLOT // 2) * 1000
            client.rpush(keys.history, f"{at} jobs={calls * 2} calls={calls} outcome_confirmed={calls * 15 // 16}")
        shown = {"shown_le_1": calls, "shown_le_5": calls // 4, "shown_le_30": calls // 40}
        counted = {"calls": calls, "jobs": calls * 2, "folded": calls * 4 // 5, "outcome_confirmed": calls * 15 // 16}
        client.hset(keys.stats, mapping={**shown, **counted, "sent_again": 1})


@pytest.fixture
def page(chromium: Browser, shop: tuple[Stage, str]) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=shop[1], viewport={"width": 1180, "height": 600}, locale="en-GB", timezone_id="UTC"
    )
    context.add_init_script(STILL)
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Token").fill(OPERATE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    yield page
    context.close()


def taken(page: Page, name: str, *, live: bool = True) -> None:
    if live:
        expect(page.get_by_role("status").get_by_text("Live")).to_be_visible()
    page.evaluate(WITHOUT_TIME)
    FOLDER.mkdir(exist_ok=True)
    page.screenshot(path=FOLDER / f"{name}.png", full_page=True, animations="disabled", caret="hide")
    assert (FOLDER / f"{name}.png").stat().st_size < LARGEST


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_overview(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    taken(page, f"overview-{scheme}")


def test_a_held_message(page: Page) -> None:
    page.goto("/messages/show?id=order:1071")
    taken(page, "held-message")


def test_a_dry_run(page: Page) -> None:
    page.goto("/bulk?action=retry&state=failed&prefix=order:")
    expect(page.get_by_role("button", name="Retry them")).to_be_visible()
    taken(page, "bulk-dry-run", live=False)

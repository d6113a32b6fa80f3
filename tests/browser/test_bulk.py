"""One thing done to many messages: what it would be, and doing it, to its end."""

from __future__ import annotations

import re

import pytest
from acceptance.conftest import Stage
from browser.conftest import Visit
from browser.scenes import Scene
from browser.visit import Watch
from browser.waiting import awaited
from playwright.sync_api import Locator, Page, expect

FAILED, WAITING = 250, 450  # two steps, three steps


@pytest.fixture
def scene(shop: Stage) -> Scene:
    """One held message, beside which each test puts others."""
    scene = Scene(shop)
    scene.held("order:held")
    scene.settled()
    return scene


def dry_run(page: Page, action: str, state: str) -> None:
    page.goto("/")
    page.get_by_role("link", name="Bulk").click()
    page.get_by_role("combobox", name="Do").select_option(value=action)
    page.get_by_role("combobox", name="to messages that are").select_option(label=state)
    page.get_by_role("button", name="Dry run").click()


def test_a_dry_run_says_how_many_and_what_it_costs_and_then_it_is_done_to_the_end(
    scene: Scene, visit: Visit, watches: list[Watch]
) -> None:
    scene.many_failed(FAILED)
    page = visit()
    dry_run(page, "retry", "failed")
    dry = page.get_by_role("region", name="Dry run: retry failed messages")
    expect(dry).to_contain_text(f"{FAILED} messages")
    expect(dry).to_contain_text(f"It costs {FAILED} calls to the API")
    assert scene.shop.messages.counts()["failed"] == FAILED, "a dry run changes nothing"
    opened = len(watches[0].navigations)

    dry.get_by_label("Why").fill("the key was renewed")
    dry.get_by_role("button", name="Retry them").click()
    run = page.get_by_role("region", name="Retry failed messages")
    expect(run).to_contain_text(f"{FAILED} messages done")
    expect(run.get_by_role("status")).to_contain_text("Nothing is left to retry here.")
    assert len(watches[0].navigations) == opened, "no page was loaded for it"
    awaited(scene.shop.is_idle, 20, "all are sent")
    assert scene.shop.messages.counts()["failed"] == 0
    assert scene.shop.messages.counts()["held"] == 1, "nothing else was touched"
    assert {entry.why for entry in scene.shop.messages.audit(10)} >= {"the key was renewed"}


def test_without_scripts_it_goes_on_step_by_step(scene: Scene, visit: Visit) -> None:
    scene.many_waiting(WAITING)
    page = visit(scripts=False)
    dry_run(page, "delete", "queued")
    counted = goes_on(page, "messages", page.get_by_role("link", name="Count on"))
    assert counted[-1] == WAITING
    expect(page.get_by_text("It costs no call to the API.")).to_be_visible()
    assert scene.shop.messages.counts()["queued"] == WAITING, "a dry run changes nothing"

    page.get_by_role("button", name="Delete them").click()
    done = goes_on(page, "messages done", page.get_by_role("button", name="Go on"))
    assert len(done) >= 3, "at most 200 in one step"
    assert done[-1] == WAITING
    expect(page.get_by_text("Nothing is left to delete here.")).to_be_visible()
    assert scene.shop.messages.counts()["queued"] == 0
    assert scene.shop.messages.counts()["held"] == 1, "nothing else was touched"


def goes_on(page: Page, of: str, more: Locator) -> list[int]:
    """What the page counts at each step, until there is no more; how large a step is depends on the machine."""
    counted = []
    while True:
        (line,) = page.get_by_text(re.compile(rf"^[0-9]+ {of}( so far)?$")).all_inner_texts()
        counted.append(int(line.split()[0]))
        if not more.count():
            assert counted == sorted(set(counted)), "each step brings it further"
            return counted
        more.click()


def test_a_list_leads_to_doing_it_to_all_of_them(scene: Scene, visit: Visit) -> None:
    page = visit()
    page.goto("/messages?state=held")
    page.get_by_role("link", name="Do it to all of them").click()
    expect(page.get_by_role("region", name="Dry run: resend held messages")).to_contain_text("1 message")


def test_what_does_not_fit_is_said(shop: Stage, visit: Visit) -> None:
    page = visit()
    dry_run(page, "resend", "failed")
    expect(page.get_by_text("Resend does not fit failed messages.")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(1)

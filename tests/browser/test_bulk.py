"""One thing done to many messages: what it would be, and doing it, to its end."""

from __future__ import annotations

import re

import pytest
from acceptance.conftest import Stage
from browser.conftest import Visit
from browser.scenes import Scene
from browser.visit import Watch
from browser.waiting import awaited
from playwright.sync_api import Page, expect

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
    expect(page.get_by_text(f"{WAITING} messages")).to_be_visible()
    expect(page.get_by_text("It costs no call to the API.")).to_be_visible()
    page.get_by_role("button", name="Delete them").click()
    for done in (200, 400):
        expect(page.get_by_text(f"{done} messages done")).to_be_visible()
        assert scene.shop.messages.counts()["queued"] == WAITING - done
        page.get_by_role("button", name=re.compile("Go on")).click()
    expect(page.get_by_text(f"{WAITING} messages done")).to_be_visible()
    expect(page.get_by_text("Nothing is left to delete here.")).to_be_visible()
    assert scene.shop.messages.counts()["queued"] == 0
    assert scene.shop.messages.counts()["held"] == 1, "nothing else was touched"


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

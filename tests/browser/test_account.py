"""The account as a person steers it: pause, resume, what is to do, and who did what."""

from __future__ import annotations

from acceptance.conftest import Stage
from browser.conftest import Visit, both_ways
from browser.scenes import Scene
from browser.visit import Watch
from playwright.sync_api import expect


@both_ways
def test_the_account_is_paused_and_resumed(shop: Stage, visit: Visit, scripts: bool) -> None:
    page = visit(scripts=scripts)
    page.goto("/")
    page.get_by_role("link", name="Account").click()
    form = page.get_by_role("form", name="Pause")
    form.get_by_label("Reason").fill("we move to another house")
    form.get_by_role("combobox", name="For").select_option(label="1 hour")
    form.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("The account is paused.")).to_be_visible()
    page.goto("/")
    to_do = page.get_by_role("region", name="What should I do now?")
    expect(to_do).to_contain_text("we move to another house")
    order = shop.create(1)
    assert shop.message(order).state == "queued"

    to_do.get_by_role("link", name="Pause and resume").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("The account is resumed")).to_be_visible()
    Scene(shop).becomes(order, "delivered")
    page.get_by_role("link", name="Audit").click()
    rows = page.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("resume")
    expect(rows.nth(2)).to_contain_text("pause")
    expect(rows.nth(2)).to_contain_text("anna")


def test_the_first_page_tells_live_what_there_is_to_do(shop: Stage, visit: Visit, watches: list[Watch]) -> None:
    page = visit()
    page.goto("/")
    to_do = page.get_by_role("region", name="What should I do now?")
    expect(to_do).to_contain_text("Nothing.")
    opened = len(watches[0].navigations)
    scene = Scene(shop)
    scene.held("order:1")
    scene.settled()
    expect(to_do).to_contain_text("1 held message needs a decision")
    assert len(watches[0].navigations) == opened, "the page was never loaded again"
    to_do.get_by_role("link", name="Decide").click()
    expect(page.get_by_role("heading", level=1, name="Held messages")).to_be_visible()

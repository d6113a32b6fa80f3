"""Who may come in, as a person sees it."""

from __future__ import annotations

import re

from acceptance.conftest import Stage
from browser.conftest import OPERATE, Visit, both_ways, start_dashboard
from browser.visit import Watch
from playwright.sync_api import Page, expect


def log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


@both_ways
def test_a_right_token_leads_to_the_page_that_was_asked_for(shop: Stage, visit: Visit, scripts: bool) -> None:
    page = visit(None, scripts=scripts)
    page.goto("/?asked=for")
    expect(page).to_have_title(re.compile("Log in"))
    log_in(page, OPERATE)
    expect(page).to_have_url(re.compile(r"/\?asked=for$"))
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    expect(page.get_by_text("anna (may act)")).to_be_visible()


@both_ways
def test_a_wrong_token_is_told_and_shown_to_nobody(
    shop: Stage, visit: Visit, watches: list[Watch], scripts: bool
) -> None:
    page = visit(None, scripts=scripts)
    watches[0].expect(401)
    page.goto("/login")
    log_in(page, "a-token-of-nobody")
    expect(page.get_by_role("alert")).to_have_text("the token is not known")
    expect(page.get_by_label("Token")).to_have_value("")
    expect(page.get_by_label("Token")).to_have_attribute("type", "password")
    log_in(page, OPERATE)
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def test_after_ten_wrong_tokens_even_the_right_one_waits(shop: Stage, visit: Visit, watches: list[Watch]) -> None:
    # A dashboard of its own, as the others would have to wait too.
    page = visit(None, at=start_dashboard(shop))
    watches[0].expect(401)
    watches[0].expect(429)
    page.goto("/login")
    for number in range(9):
        assert page.request.post("/login", form={"token": f"a-token-of-nobody-{number}"}).status == 401
    log_in(page, "a-token-of-nobody")
    expect(page.get_by_role("alert")).to_have_text("the token is not known")
    log_in(page, OPERATE)
    expect(page.get_by_role("alert")).to_contain_text("wait a minute")
    page.goto("/")
    expect(page).to_have_title(re.compile("Log in"))


@both_ways
def test_who_logs_out_has_to_log_in_again(shop: Stage, visit: Visit, watches: list[Watch], scripts: bool) -> None:
    page = visit(None, scripts=scripts)
    watches[0].expect(401)  # of the page that is being left, if it listens a moment longer
    page.goto("/login")
    log_in(page, OPERATE)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.go_back()
    page.goto("/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()

"""What must be true of every page, whoever opens it and however it is shown."""

from __future__ import annotations

import pytest
from acceptance.conftest import Stage
from browser.accessibility import severe_findings
from browser.conftest import Visit
from playwright.sync_api import expect

PAGES = ["/"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("role", ["operate", None])
def test_axe_finds_nothing_severe(shop: Stage, visit: Visit, scheme: str, role: str) -> None:
    page = visit(role, color_scheme=scheme)
    for path in PAGES if role else ["/login"]:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert not severe_findings(page), f"{path}, {scheme}"

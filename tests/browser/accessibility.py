"""What axe-core finds in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SEVERE = ("serious", "critical")


def severe_findings(page: Page) -> list[str]:
    """Every serious or critical violation: the rule, what it asks for, and where it is broken."""
    found = Axe().run(page).response["violations"]
    return [_told(one) for one in found if one["impact"] in _SEVERE]


def _told(violation: dict[str, Any]) -> str:
    nodes = "".join(f"\n    {node['html']}\n      {node['failureSummary']}" for node in violation["nodes"])
    return f"{violation['id']} ({violation['impact']}): {violation['help']}{nodes}"

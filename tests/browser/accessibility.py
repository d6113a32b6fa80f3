"""What axe-core finds in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SEVERE = ("serious", "critical")
_OF_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}


def severe_findings(page: Page) -> list[str]:
    """Every serious or critical violation: where, the rule, what it asks for.

    The page is looked at as it is, and again in the other scheme of colours, by the rules that look at colours.
    """
    found = _violations(page, "light")
    page.emulate_media(color_scheme="dark")
    found += _violations(page, "dark", options=_OF_COLOURS)
    page.emulate_media(color_scheme="light")
    return found


def _violations(page: Page, scheme: str, **how: Any) -> list[str]:
    found = Axe().run(page, **how).response["violations"]
    return [f"{page.url}, {scheme}: {_told(one)}" for one in found if one["impact"] in _SEVERE]


def _told(violation: dict[str, Any]) -> str:
    nodes = "".join(f"\n    {node['html']}\n      {node['failureSummary']}" for node in violation["nodes"])
    return f"{violation['id']} ({violation['impact']}): {violation['help']}{nodes}"

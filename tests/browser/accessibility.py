"""What axe-core finds in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.base import AXE_SCRIPT

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SEVERE = ("serious", "critical")
_EVERYTHING = {"resultTypes": ["violations"]}
_OF_COLOURS = {**_EVERYTHING, "runOnly": ["color-contrast", "link-in-text-block"]}


def severe_findings(page: Page) -> list[str]:
    """Every serious or critical violation: where, the rule, what it asks for.

    The page is looked at in light colours, and again in dark ones by the rules that look at colours.
    """
    page.evaluate(AXE_SCRIPT)
    found = _violations(page, "light", _EVERYTHING)
    page.emulate_media(color_scheme="dark")
    found += _violations(page, "dark", _OF_COLOURS)
    page.emulate_media(color_scheme="light")
    return found


def _violations(page: Page, scheme: str, options: dict[str, Any]) -> list[str]:
    found = page.evaluate("async (options) => (await axe.run(options)).violations", options)
    return [f"{page.url}, {scheme}: {_told(one)}" for one in found if one["impact"] in _SEVERE]


def _told(violation: dict[str, Any]) -> str:
    nodes = "".join(f"\n    {node['html']}\n      {node['failureSummary']}" for node in violation["nodes"])
    return f"{violation['id']} ({violation['impact']}): {violation['help']}{nodes}"

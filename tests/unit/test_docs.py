"""What the pages say is what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks(page: Path) -> list[str]:
    """The Python examples of a page, in their order."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_page_of_settings_is_printed_from_the_code() -> None:
    """Every setting, with its default: `python docs/settings_table.py > docs/settings.md`."""
    printed = runpy.run_path(str(ROOT / "docs" / "settings_table.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_broken(page: Path) -> None:
    """Each relative link names a file of the repository."""
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_examples_of_the_readme_run(valkey_url: str, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, one after the other, against a running ledger."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", valkey_url)
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", account)
    blocks = python_blocks(ROOT / "README.md")
    assert len(blocks) >= 2
    for number, block in enumerate(blocks):
        exec(compile(block, f"README.md, example {number + 1}", "exec"), {"__name__": "readme"})


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    """A page that names a setting that is gone would mislead at night."""
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    known = set(re.findall(r"PUSHLEDGER_[A-Z_]+", settings))
    for page in PAGES:
        named = set(re.findall(r"PUSHLEDGER_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))
        assert named <= known, f"{page.name} names {sorted(named - known)}"


def test_every_test_that_the_guarantees_name_is_there() -> None:
    """A promise whose proof has moved has none."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    present = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"test_\w+\.py", text)) <= present

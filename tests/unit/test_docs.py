"""What the pages say is what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_METHODS = ("POST", "GET", "PUT", "DELETE")
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
        named = set(re.findall(r"(?<!_)PUSHLEDGER_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))
        assert named <= known, f"{page.name} names {sorted(named - known)}"


def test_every_test_that_the_guarantees_name_is_there() -> None:
    """A promise whose proof has moved has none."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    present = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"test_\w+\.py", text)) <= present


def test_every_operation_of_the_api_is_reached_and_proved() -> None:
    """The nine rows of docs/api.md have no gap, and each test that they name is there."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| `(GET|POST|PUT|DELETE) ", line)]
    kinds = [f"/conversations/{kind}" for kind in ("pushedMessages", "messages")]
    nine = {f"{method} {kind}{'' if method == 'POST' else '/{id}'}" for kind in kinds for method in _METHODS}
    assert {row[0].strip(" `") for row in rows} == {*nine, "POST /conversations/agentOnlinePing"}
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    calls = (ROOT / "worker" / "pushledger_worker" / "plan.py").read_text(encoding="utf-8")
    for operation, call, asked, answer, proof in rows:
        assert asked.strip(), operation
        assert f"class {call.strip(' `')}:" in calls
        assert answer.strip() in {"200", "201", "204"}
        proofs = re.findall(r"`(test_\w+)`", proof)
        assert len(proofs) == 3, f"{operation}: on the wire, through workers, by the official client"
        assert all(f"def {name}(" in code for name in proofs), operation


def test_the_examples_of_presence_run(valkey_url: str, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last block of docs/api.md, as it stands."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", valkey_url)
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", account)
    block = python_blocks(ROOT / "docs" / "api.md")[-1]
    exec(compile(block, "docs/api.md", "exec"), {"__name__": "api"})

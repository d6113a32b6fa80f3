"""What the pages tell a reader to type, run on a stage."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pages import Block, Command, commands_of, matches

if TYPE_CHECKING:
    from acceptance.conftest import Stage

__all__ = ["expect", "is_outside"]

# How long an answer that depends on a worker, or on a time that passes, may take to be as it is quoted.
PATIENCE = 20.0
_LOOKS = ("show", "status", "list", "check", "verify")


def expect(stage: Stage, block: Block, settings: Mapping[str, str], outside: Sequence[str] = ()) -> None:
    """Run a block of console, ``$ command`` and the lines it prints; what only looks is repeated until it is so.

    A line ``(exit status N)`` under a command tells its status, if that is not 0.
    """
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, quoted = part.partition("\n")
        for command in commands_of(line):
            if command.words[0] == "pushledger" and not is_outside(command, outside):
                _run(stage, command, quoted, settings)


def is_outside(command: Command, outside: Sequence[str]) -> bool:
    """Whether a command is one of those that are not run here."""
    return any(command.words[1 : 1 + len(one.split())] == tuple(one.split()) for one in outside)


def _run(stage: Stage, command: Command, quoted: str, settings: Mapping[str, str]) -> None:
    wanted = re.search(r"^\(exit status (\d+)\)$", quoted, re.MULTILINE)
    status = int(wanted[1]) if wanted else 0
    lines = re.sub(r"^\(exit status \d+\)\n?", "", quoted, flags=re.MULTILINE)
    given = {**settings, **{name.removeprefix("PUSHLEDGER_"): value for name, value in command.environment.items()}}
    looks = command.words[1] in _LOOKS
    deadline = time.monotonic() + PATIENCE
    while True:
        done = stage.run(*command.words[1:], **given)
        printed = done.stdout + done.stderr
        if done.returncode == status and matches(lines, printed):
            return
        said = f"{command.line}\nended with {done.returncode}, and printed\n{printed}\nthe page shows\n{quoted}"
        assert looks, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)

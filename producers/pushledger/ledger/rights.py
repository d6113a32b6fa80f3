"""What a server says to a user that may not do something, told so that an operator can grant it."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["missing_right"]

_REMEDY = "give the user of PUSHLEDGER_REDIS_URL the rights that docs/redis.md lists"
_NAMED = re.compile(r"no permissions to run the '([^']+)' command")
# Redis up to 7.0 names neither the command nor the script's own line of it, but the line of the whole source.
_LINE = re.compile(
    r"can't run this command or subcommand.*@user_script:\s*(\d+)|@user_script:\s*(\d+):.*can't run this"
)
_CALL = re.compile(r"call\('(\w+)'")
# A command that is chosen on that line: call(newest and 'ZREVRANGE' or 'ZRANGE', …
_CHOSEN = re.compile(r"(?:and|or) '([A-Z]+)'")
_KEYS = re.compile(r"permissions to access (?:a key|one of the keys)|can't access at least one of the keys")


def missing_right(said: str, scripts: Iterable[str]) -> str | None:
    """The command or keys that are not allowed, and the way out; None when the server spoke of something else.

    ``scripts`` are the sources of what was run: one of them is what the server counts its lines in.
    """
    if found := _NAMED.search(said):
        return f"it may not run {found[1].upper()}: {_REMEDY}"
    if "can't run this command" in said and (found := _LINE.search(said)):
        return f"it may not run {_command_at(int(found[1]), scripts)}: {_REMEDY}"
    if _KEYS.search(said):
        return f"it may not touch the account's keys, pushledger:{{account}}:*: {_REMEDY}"
    return None


def _command_at(line: int, scripts: Iterable[str]) -> str:
    lines = [source.splitlines()[line - 1] for source in scripts if source.count("\n") >= line - 1]
    commands = sorted({command.upper() for one in lines for command in _CALL.findall(one) + _CHOSEN.findall(one)})
    return " or ".join(commands) or "one of its commands"

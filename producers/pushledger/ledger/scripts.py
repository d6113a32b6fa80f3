"""The ledger's Lua scripts: one verb a file, composed with the libraries it uses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Script", "script"]

_STORE = ("message", "store", "lane")
# Only what a verb needs: the server defines every function of a script anew at each run.
_LIBRARIES = {
    "record": (*_STORE, "jobs", "operation"),
    **dict.fromkeys(
        ("retry", "resend", "resolve", "discard", "adopt", "repair"), (*_STORE, "jobs", "decisions", "operation")
    ),
    "claim": (*_STORE, "calls", "budget", "presence", "due"),
    "settle": (*_STORE, "calls", "budget", "presence"),
    **dict.fromkeys(("wake", "draw"), (*_STORE, "budget", "presence", "due")),
    "signals": (*_STORE, "budget"),
    **dict.fromkeys(("online", "offline"), (*_STORE, "presence")),
    **dict.fromkeys(("pause", "forget", "restore", "begin", "page", "find", "note"), _STORE),
}


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script and the digest by which the server knows it."""

    source: str
    sha: str


def lua_source(name: str) -> str:
    """The text of one Lua file."""
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(verb: str) -> Script:
    """The script for a verb, its libraries before it."""
    source = "\n".join(lua_source(name) for name in (*_LIBRARIES[verb], verb))
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())

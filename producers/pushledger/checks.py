"""What `pushledger check` looks at: each check says what it found, and the way out of trouble.

Packages bring more checks by entry points of the group ``pushledger.checks``: coroutine functions that take the
account's messages and return a Check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeAlias

from pushledger.extras import lacks_extra, remedy
from pushledger.messages import AsyncMessages

__all__ = ["Check", "CheckOutcome", "checks_of_others"]

CheckOutcome: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
_GROUP = "pushledger.checks"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found. ``skipped`` is what could not be looked at from here, and is no trouble."""

    name: str
    outcome: CheckOutcome
    sentence: str

    @property
    def is_trouble(self) -> bool:
        """Whether somebody should do something."""
        return self.outcome in ("warning", "failed")

    def to_json(self) -> dict[str, str]:
        """As a JSON object."""
        return asdict(self)


async def checks_of_others(messages: AsyncMessages) -> list[Check]:
    """The checks that other packages bring, by their names."""
    found = sorted(entry_points(group=_GROUP), key=lambda part: part.name)
    return [await _run(part, messages) for part in found]


async def _run(part: EntryPoint, messages: AsyncMessages) -> Check:
    name = part.name.replace("_", " ")
    try:
        look: Callable[[AsyncMessages], Awaitable[Check]] = part.load()
        return await look(messages)
    except Exception as error:  # one check that breaks must not hide the others
        if lacks_extra(part, error):
            return Check(name, "skipped", remedy(part))
        return Check(name, "failed", f"the check itself broke: {type(error).__name__}: {error}")

"""Doing one thing to many messages: what a dry run found, what it costs, and how far it has come."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta

from pushledger.ledger import Budget, BulkAction, BulkStep

from pushledger_dashboard.addresses import address
from pushledger_dashboard.views.times import spoken
from pushledger_dashboard.views.words import count_of

__all__ = ["FITS", "Progress", "Selection", "cost", "time_for"]

FITS: dict[str, tuple[str, ...]] = {
    "retry": ("failed", "expired"),
    "resend": ("held",),
    "discard": ("held", "failed", "expired"),
    "delete": ("queued", "retrying", "delivered", "held", "failed", "expired"),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """To which messages what is to be done, and why."""

    action: BulkAction | None = None
    state: str = ""
    prefix: str = ""
    reason: str = ""
    why: str = ""

    @property
    def fits(self) -> bool:
        """Whether the action can be done to messages of the state at all."""
        return self.action is not None and self.state in FITS[self.action]


@dataclass(frozen=True, slots=True)
class Progress:
    """What all steps so far add up to. ``cursor``: where the next one begins; '' when there is none."""

    messages: int = 0
    calls: int = 0
    refused: int = 0
    looked: int = 0
    left: int = 0
    cursor: str = ""

    def after(self, step: BulkStep, cursor: str | None) -> Progress:
        """The same with one step more."""
        return replace(
            self,
            messages=self.messages + step.messages,
            calls=self.calls + step.calls,
            refused=self.refused + step.refused,
            looked=self.looked + step.looked_at,
            left=step.left,
            cursor=cursor or "",
        )

    @property
    def of(self) -> int:
        """How many messages there are to look at."""
        return self.looked + self.left

    def href(self, selection: Selection, *, runs: bool) -> str:
        """The address that shows this, and goes on from here."""
        return address(
            "/bulk",
            action=selection.action,
            state=selection.state,
            prefix=selection.prefix,
            reason=selection.reason,
            why=selection.why,
            run="1" if runs else "",
            messages=self.messages,
            calls=self.calls,
            refused=self.refused,
            looked=self.looked,
            left=self.left,
            cursor=self.cursor,
        )


def cost(progress: Progress, budget: Budget) -> str:
    """What it costs at the API, in words."""
    if not progress.calls:
        return "It costs no call to the API."
    time = time_for(progress.calls, budget)
    return f"It costs {count_of(progress.calls, 'call')} to the API" + (
        f": {time} of the whole budget." if time else "."
    )


def time_for(calls: int, budget: Budget) -> str:
    """How long the budget takes for so many calls; '' without a limit."""
    longest = max((window.period * math.ceil(calls / window.limit) for window in budget.windows), default=timedelta(0))
    return spoken(longest) if longest else ""

"""Doing one thing to many messages: what a dry run found, what it costs, and how far it has come."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pushledger.ledger import Budget, BulkAction, BulkStep

from pushledger_dashboard.addresses import address
from pushledger_dashboard.views.times import spoken
from pushledger_dashboard.views.words import count_of

__all__ = ["FITS", "Progress", "Selection", "cost"]

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
    calls = progress.calls
    if not calls:
        return "It costs no call to the API."
    beyond = [window for window in budget.windows if calls > window.limit]
    costs = f"It costs {count_of(calls, 'call')} to the API"
    if beyond:
        longest = max(window.period * math.ceil(calls / window.limit) for window in beyond)
        return f"{costs}: {spoken(longest)} of the whole budget."
    allowed = " and ".join(f"{window.limit:,} in {spoken(window.period)}" for window in budget.windows)
    return f"{costs}, of {allowed}." if allowed else f"{costs}."

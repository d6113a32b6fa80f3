"""What passes between the ledger and a worker: claimed messages one way, what came of their calls the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from pushledger.jobs import Kind
from pushledger.message import LastError

__all__ = [
    "GENERAL_TIER",
    "HIGHEST_SHARE",
    "AccountPause",
    "Budget",
    "Claim",
    "Claimed",
    "Drawn",
    "Heard",
    "RateWindow",
    "Settled",
    "Settlement",
    "SettlementKind",
]

SettlementKind: TypeAlias = Literal["confirmed", "gone", "unknown", "unsent", "refused"]


HIGHEST_SHARE = 0.9  # of the budget for high priority: what is left must let everything else go on


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most ``limit`` calls in any ``period``; raises ValueError for less than one."""

    limit: int
    period: timedelta

    def __post_init__(self) -> None:
        if self.limit < 1 or self.period <= timedelta(0):
            raise ValueError("a window allows at least one call in a time that is longer than 0")


@dataclass(frozen=True, slots=True)
class Budget:
    """Calls that all processes of an account may make together: every window binds. ``high_share`` of each is kept
    for messages of high priority. Without windows there is no limit of our own."""

    windows: tuple[RateWindow, ...] = ()
    high_share: float = 0.0

    def render(self) -> str:
        """The windows as the scripts read them: limit/milliseconds, parted by blanks."""
        return " ".join(f"{window.limit}/{round(window.period.total_seconds() * 1000)}" for window in self.windows)

    @classmethod
    def parse(cls, share: str, windows: str) -> Budget:
        """Read what ``render`` wrote. Raises ValueError or OverflowError for anything else."""
        high_share = float(share)
        if not 0 <= high_share <= HIGHEST_SHARE:
            raise ValueError(f"a share is from 0 to {HIGHEST_SHARE}")
        pairs = (window.split("/") for window in windows.split())
        found = (RateWindow(int(limit), timedelta(milliseconds=int(period))) for limit, period in pairs)
        return cls(tuple(found), high_share)


# What the General tier allows: taken until a worker has said what it keeps to.
GENERAL_TIER = Budget((RateWindow(100, timedelta(hours=1)),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One message taken for one call, as it stood at the claim. Two wishes belong to no message: with ``probe``,
    ``message_id`` is read to see whether the API is up again; with ``ping``, ``target`` is the agent to keep online.

    ``failing_for`` is the time since its first failed attempt in a row, ``waiting_for`` the time since the change
    that is not shown yet was accepted.
    """

    local_id: str
    token: str
    kind: Kind
    wish: Literal["show", "gone", "probe", "ping"]
    text: str
    text_digest: str
    target: str
    message_id: str
    shown_digest: str
    doomed: tuple[tuple[Kind, str], ...]
    revision: int
    attempts: int
    failing_for: timedelta
    waiting_for: timedelta


@dataclass(frozen=True, slots=True)
class Claim:
    """The messages claimed, how long until there may be more (None: nothing waits), and how often in a row
    the account has met trouble."""

    messages: tuple[Claimed, ...]
    next_in: timedelta | None
    strikes: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """Whether a call was drawn from the budget; if not, how long to wait, and for what: ``paused``, ``budget`` or
    ``messages`` that can be sent instead."""

    drawn: bool
    wait: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class AccountPause:
    """The whole account waits. ``trouble`` pauses begin when trouble was met ``after`` times in a row, and end
    with one probing call; others begin at once and end by themselves."""

    duration: timedelta
    reason: str
    trouble: bool
    after: int = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer said of the API's own budget: calls left, and the time until it is full again."""

    remaining: int
    reset_in: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of one call; ``lua/calls.lua`` (Message.settle) says what each kind means.

    ``retry_in`` is the least time until the next attempt; ``counts`` whether this was one.
    """

    kind: SettlementKind
    message_id: str = ""
    status: int | None = None
    error: LastError | None = None
    retry_in: timedelta = timedelta(0)
    counts: bool = True
    give_up: bool = False
    pause: AccountPause | None = None
    heard: Heard | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """How the ledger took a settlement: ``settled``, or ``stale``/``late`` when the token was no longer current."""

    taken: Literal["settled", "stale", "late"]
    state: str

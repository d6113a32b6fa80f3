"""How an account stands: its pause, its budget, and when what waits will be done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pushledger.ledger.deliveries import Budget
from pushledger.message import Message, Wait

__all__ = ["Account", "Heartbeat", "Pause", "read_account", "waiting_for"]

_ALONE_AFTER = timedelta(seconds=150)


@dataclass(frozen=True, slots=True)
class Pause:
    """The account waits until then; with ``trouble``, one call at a time then looks whether it is over."""

    until: datetime
    reason: str
    trouble: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a delivery last began somewhere, None if never; a wake-up came through broker and worker to begin it."""

    now: datetime
    last: datetime | None

    @property
    def age(self) -> timedelta | None:
        """How long that is ago."""
        return None if self.last is None else self.now - self.last


@dataclass(frozen=True, slots=True)
class Account:
    """An account at one moment.

    ``calls_left`` is None without a limit; ``next_call_at`` is when a call is free again, if none is now. The same of
    ``common`` is for messages that are not of high priority, which leave a share of each window alone.
    ``drained_in`` forecasts how long what waits takes at today's budget, if each message needs one call; ``budget`` is
    what it was forecast with. ``looked_after_at`` is when a worker last left a trace of looking after the account, None
    if none ever did.
    """

    now: datetime
    pause: Pause | None
    waiting: int
    oldest_due: datetime | None
    calls_left: int | None
    next_call_at: datetime | None
    common_calls_left: int | None
    next_common_call_at: datetime | None
    drained_in: timedelta
    budget: Budget
    looked_after_at: datetime | None = None

    @property
    def is_looked_after(self) -> bool:
        """Whether a worker serves the account: each looks every second, and leaves a trace once a minute."""
        return self.looked_after_at is not None and self.now - self.looked_after_at < _ALONE_AFTER


def read_account(
    now: int,
    pause: Mapping[str, str],
    heard: Mapping[str, str],
    firsts: Sequence[float],
    waiting: int,
    slots: Sequence[Sequence[float]],
    common_slots: Sequence[Sequence[float]],
    budget: Budget,
) -> Account:
    """Put together what the ledger holds. Times are milliseconds since the epoch; ``slots`` has, for each window of
    the budget, when each drawn call is free again, ``common_slots`` the same of calls not of high priority."""
    limits = [window.limit for window in budget.windows]
    left, next_at = _left(now, limits, slots, heard)
    common_limits = [limit - math.floor(limit * budget.high_share) for limit in limits]
    common_left, next_common_at = _left(now, common_limits, common_slots, {}) if budget.high_share else (left, next_at)
    if left is not None and common_left is not None and left <= common_left:
        common_left, next_common_at = left, max(next_at or 0, next_common_at or 0) or None
    paused = _pause(now, pause)
    return Account(
        now=_moment(now),
        pause=paused,
        waiting=waiting,
        oldest_due=_moment(min(firsts)) if firsts else None,
        calls_left=left,
        next_call_at=_moment(next_at) if next_at is not None else None,
        common_calls_left=common_left,
        next_common_call_at=_moment(next_common_at) if next_common_at is not None else None,
        drained_in=_drained_in(now, waiting, left, next_at, paused, budget),
        budget=budget,
    )


def _left(
    now: int, limits: Sequence[int], slots: Sequence[Sequence[float]], heard: Mapping[str, str]
) -> tuple[int | None, float | None]:
    """Calls left, None without a limit; and when the next one is free, if none is now."""
    lefts, nexts = [], []
    for limit, free_at in zip(limits, slots, strict=True):
        taken = [at for at in free_at if at > now]
        lefts.append(max(0, limit - len(taken)))
        if len(taken) >= limit:
            nexts.append(min(taken))
    if heard and float(heard["until"]) > now:
        lefts.append(max(0, int(heard["remaining"])))
        if lefts[-1] == 0:
            nexts.append(float(heard["until"]))
    return min(lefts) if lefts else None, max(nexts) if nexts else None


def _pause(now: int, pause: Mapping[str, str]) -> Pause | None:
    # One that is over stands until the next claim clears it; one for trouble waits for a probe then.
    trouble = pause.get("trouble") == "1"
    if not pause or (float(pause["until"]) <= now and not trouble):
        return None
    return Pause(_moment(float(pause["until"])), pause["reason"], trouble)


def waiting_for(message: Message, account: Account) -> tuple[Wait, ...]:
    """Every reason why the message waits at the account's moment, the one that lasts longest last."""
    waits = [wait for wait in message.waits if wait.until is None or wait.until > account.now]
    if message.state in ("queued", "retrying"):
        if account.pause is not None:
            waits.append(Wait("paused", account.pause.until))
        is_high = message.priority == "high"
        if (account.calls_left if is_high else account.common_calls_left) == 0:
            waits.append(Wait("budget", account.next_call_at if is_high else account.next_common_call_at))
    return tuple(sorted(waits, key=lambda wait: (wait.until is None, wait.until or account.now)))


def _drained_in(
    now: int, waiting: int, left: int | None, next_at: float | None, pause: Pause | None, budget: Budget
) -> timedelta:
    begins = max(timedelta(0), pause.until - _moment(now)) if pause else timedelta(0)
    if not waiting or left is None:
        return begins if waiting else timedelta(0)
    beyond = waiting - left
    if beyond <= 0:
        return begins
    first = timedelta(milliseconds=max(0.0, (next_at or now) - now))
    slowest = max((window.period * math.ceil(beyond / window.limit) for window in budget.windows), default=first)
    return max(begins, first) + max(timedelta(0), slowest - first)


def _moment(milliseconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)

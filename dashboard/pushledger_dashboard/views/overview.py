"""The first page's four answers: what customers see, how late, how many may be doubled, what to do now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pushledger import Presence
from pushledger.ledger import shown_within

from pushledger_dashboard.addresses import address
from pushledger_dashboard.overview import Reading
from pushledger_dashboard.views.account import (
    AgentView,
    GaugeView,
    PauseView,
    agent_views,
    gauge_view,
    pause_view,
    refused_at,
    windows_in_words,
)
from pushledger_dashboard.views.picture import Picture, picture
from pushledger_dashboard.views.times import Moment, moment, spoken
from pushledger_dashboard.views.words import STATES, count_of

__all__ = ["OverviewView", "StateCount", "Task", "overview_view", "shown_after"]

WAITING = ("queued", "retrying", "sending")
OVERDUE = timedelta(seconds=30)
SILENT = timedelta(seconds=60)
RECENT = timedelta(days=1)
BACKLOG_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do now: a sentence, where to do it, and what the link says."""

    sentence: str
    href: str
    link: str


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many messages are in a state, and what that means."""

    state: str
    number: int
    meaning: str
    href: str


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The first page."""

    now: Moment
    is_new: bool
    seen: str
    seen_more: str
    late: str
    late_more: tuple[str, ...]
    doubled: str
    doubled_more: str
    tasks: tuple[Task, ...]
    states: tuple[StateCount, ...]
    pause: PauseView | None
    gauge: GaugeView | None
    windows: tuple[str, ...]
    heartbeat: Moment | None
    saved: int
    calls: int
    throttled: int
    picture: Picture
    agents: tuple[AgentView, ...]


def overview_view(
    reading: Reading,
    max_backlog: int,
    presences: Sequence[Presence],
    refused: Sequence[Mapping[str, object]],
) -> OverviewView:
    """The first page, from what the ledger says."""
    account, stats = reading.account, reading.stats
    seen, seen_more = _seen(reading)
    doubled, doubled_more = _doubled(reading)
    return OverviewView(
        now=moment(account.now, account.now),
        is_new=not any(reading.counts.values()) and not stats,
        seen=seen,
        seen_more=seen_more,
        late=_late(reading),
        late_more=_late_more(reading),
        doubled=doubled,
        doubled_more=doubled_more,
        tasks=tuple(_tasks(reading, max_backlog, presences, refused)),
        states=_states(reading.counts),
        pause=pause_view(account.pause, account.now),
        gauge=gauge_view(account),
        windows=windows_in_words(account.budget),
        heartbeat=moment(reading.heartbeat.last, account.now) if reading.heartbeat.last else None,
        saved=sum(stats.get(name, 0) for name in ("folded", "unchanged", "cancelled")),
        calls=stats.get("calls", 0),
        throttled=stats.get("throttled", 0),
        picture=picture(account.now, stats, reading.history),
        agents=agent_views(presences, account.now),
    )


def _waiting(counts: Mapping[str, int]) -> int:
    return sum(counts.get(state, 0) for state in WAITING)


def _seen(reading: Reading) -> tuple[str, str]:
    counts = reading.counts
    known, waiting = counts.get("known", 0), _waiting(counts)
    behind = waiting + sum(counts.get(state, 0) for state in ("held", "failed", "expired"))
    waits = f"{count_of(waiting, 'message')} {'waits' if waiting == 1 else 'wait'}."
    if not known:
        return f"Nothing is on display yet; {waits if waiting else 'nothing waits.'}", ""
    if not behind:
        whole = "The one message" if known == 1 else f"All {known:,} messages"
        return f"{whole} on display {'shows its' if known == 1 else 'show their'} newest text.", "Nothing waits."
    # Those that wait are partly on display with an older text; which ones, only each record says.
    least = max(0, known - behind)
    more = f"{known:,} on display in all; of those that wait, some show an older text, some are not shown yet."
    return f"{count_of(least, 'message')} or more show their newest text, {waiting:,} wait.", more


def _late(reading: Reading) -> str:
    account = reading.account
    if not _waiting(reading.counts):
        return "Nothing waits: what was accepted is shown."
    if account.drained_in > timedelta(0):
        return f"All that waits is shown in about {spoken(account.drained_in)}."
    if account.oldest_due is not None and account.oldest_due > account.now:
        return "All that is due is shown."
    return "All that waits is shown within seconds."


def _late_more(reading: Reading) -> tuple[str, ...]:
    account, more = reading.account, list[str]()
    if account.oldest_due is not None and account.oldest_due <= account.now:
        more.append(f"The oldest has been due for {spoken(account.now - account.oldest_due)}.")
    elif account.oldest_due is not None:
        more.append(f"The next is due in {spoken(account.oldest_due - account.now)}.")
    half, most = shown_after(reading.stats, 0.5), shown_after(reading.stats, 0.95)
    if most and half == most:
        more.append(f"So far, 95 of 100 changes were shown {most} of being accepted.")
    elif half and most:
        more.append(f"So far, half of all changes were shown {half} of being accepted, 95 of 100 {most}.")
    return tuple(more)


def shown_after(stats: dict[str, int], share: float) -> str:
    """Within what time this share of the changes was shown; '' when there were none."""
    steps = shown_within(stats)
    total = steps[-1][1]
    if not total:
        return ""
    seconds = next(seconds for seconds, number in steps if number >= share * total)
    if math.isinf(seconds):
        return f"later than {spoken(timedelta(seconds=steps[-2][0]))}"
    return f"within {spoken(timedelta(seconds=seconds))}"


def _doubled(reading: Reading) -> tuple[str, str]:
    again, held = max(0, reading.stats.get("sent_again", 0)), reading.counts.get("held", 0)
    waits = f"{count_of(held, 'is', 'are')} held for a person" if held else "none is held"
    if not again:
        return f"None was doubled; {waits}.", "No create was sent again after its answer was lost."
    return (
        f"At most {count_of(again, 'message')} may stand twice; {waits}.",
        "So many creates were sent again since the first day because their answer was lost; each message is marked.",
    )


def _tasks(
    reading: Reading,
    max_backlog: int,
    presences: Iterable[Presence],
    refused: Sequence[Mapping[str, object]],
) -> Iterable[Task]:
    counts, account = reading.counts, reading.account
    paused = pause_view(account.pause, account.now)
    if paused is not None:
        until = f"until {paused.until.absolute} ({paused.until.relative})" if paused.until else "until it is resumed"
        yield Task(f"The account is paused {until}: {paused.reason}.", "/account", "Pause and resume")
    if _workers_are_silent(reading):
        last = reading.heartbeat.last
        since = f"no worker has begun one for {spoken(account.now - last)}" if last else "no worker ever began one"
        yield Task(
            f"Messages are due for delivery, and {since}: start a worker, or look at the broker.",
            "/account",
            "The account",
        )
    if max_backlog and account.waiting >= BACKLOG_SHARE * max_backlog:
        full = "is full: new jobs are refused" if account.waiting >= max_backlog else "is nearly full"
        yield Task(
            f"The backlog {full}: {account.waiting:,} of {max_backlog:,} wait.",
            address("/messages", state="queued"),
            "What waits",
        )
    yield from _decisions(counts)
    yield from _strangers(reading, presences, refused)


def _decisions(counts: Mapping[str, int]) -> Iterable[Task]:
    held, failed = counts.get("held", 0), counts.get("failed", 0)
    if held:
        needs = "needs" if held == 1 else "need"
        yield Task(
            f"{count_of(held, 'held message')} {needs} a decision: resend, resolve or discard.",
            address("/messages", state="held"),
            "Decide",
        )
    if failed:
        yield Task(
            f"{count_of(failed, 'message')} failed: retry or discard.",
            address("/messages", state="failed"),
            "Look at them",
        )


def _strangers(
    reading: Reading, presences: Iterable[Presence], refused: Sequence[Mapping[str, object]]
) -> Iterable[Task]:
    times = [refused_at(document) for document in refused]
    recent = sum(at is not None and reading.account.now - at <= RECENT for at in times)
    if recent:
        jobs = count_of(recent, "job was", "jobs were")
        yield Task(
            f"In the last day {jobs} refused by the intake: what the shop sent does not fit.",
            "/account#refused",
            "Which",
        )
    lost = sum(one.refused is not None for one in presences)
    if lost:
        yield Task(
            f"{count_of(lost, 'agent is', 'agents are')} refused by the API, and not kept online.",
            "/account#agents",
            "Agents",
        )


def _workers_are_silent(reading: Reading) -> bool:
    account, last = reading.account, reading.heartbeat.last
    is_stuck = account.oldest_due is not None and account.oldest_due <= account.now - OVERDUE
    may_send = account.pause is None and account.common_calls_left != 0
    return is_stuck and may_send and (last is None or account.now - last > SILENT)


def _states(counts: Mapping[str, int]) -> tuple[StateCount, ...]:
    return tuple(
        StateCount(state, counts[state], meaning, address("/messages", state=state))
        for state, meaning in STATES.items()
        if state in counts
    )

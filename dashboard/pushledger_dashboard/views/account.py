"""The account in words: its pause, its budget, the agents it keeps online, the jobs it refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pushledger import Presence
from pushledger.ledger import Account, Budget, Pause

from pushledger_dashboard.views.times import Moment, moment, spoken
from pushledger_dashboard.views.words import PAUSES

__all__ = [
    "AgentView",
    "GaugeView",
    "PauseView",
    "RefusedJob",
    "agent_views",
    "gauge_view",
    "pause_view",
    "refused_jobs",
    "windows_in_words",
]

_FAR = timedelta(days=300)  # a pause until resumed is one of a year


@dataclass(frozen=True, slots=True)
class PauseView:
    """Until when, and why. ``trouble``: it ends by itself when the API answers again."""

    until: Moment | None
    reason: str
    trouble: bool


def pause_view(pause: Pause | None, now: datetime) -> PauseView | None:
    """A pause as it is shown."""
    if pause is None:
        return None
    until = None if pause.until - now > _FAR else moment(pause.until, now)
    return PauseView(until, PAUSES.get(pause.reason, pause.reason), pause.trouble)


@dataclass(frozen=True, slots=True)
class GaugeView:
    """How many calls are left of how many, and when the next one is free. ``percent``: what is left."""

    left: int
    limit: int
    percent: int
    next_call_at: Moment | None


def gauge_view(account: Account) -> GaugeView | None:
    """The budget as a gauge; None without a limit."""
    if account.calls_left is None:
        return None
    limits = (window.limit for window in account.budget.windows)
    limit = max(account.calls_left, min(limits, default=account.calls_left))
    next_at = account.next_call_at
    return GaugeView(
        left=account.calls_left,
        limit=limit,
        percent=round(100 * account.calls_left / limit) if limit else 0,
        next_call_at=moment(next_at, account.now) if next_at and account.calls_left == 0 else None,
    )


def windows_in_words(budget: Budget) -> tuple[str, ...]:
    """The windows of the budget, and what of them is kept for messages of high priority."""
    kept = f", {budget.high_share:.0%} of them for high priority" if budget.high_share else ""
    return tuple(f"{window.limit:,} calls in {spoken(window.period)}{kept}" for window in budget.windows)


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent that is kept online. ``key`` names it in a form."""

    name: str
    key: str
    until: Moment
    pinged_at: Moment | None
    next_ping_at: Moment | None
    refused: int | None
    calls_per_hour: int


def agent_views(presences: Iterable[Presence], now: datetime) -> tuple[AgentView, ...]:
    """The agents as they are shown."""
    return tuple(
        AgentView(
            name=one.agent.agent_id or f"{one.agent.agent_name} <{one.agent.agent_email}> ({one.agent.received_from})",
            key=one.agent.to_json(),
            until=moment(one.until, now),
            pinged_at=moment(one.pinged_at, now) if one.pinged_at else None,
            next_ping_at=moment(one.next_ping_at, now) if one.next_ping_at else None,
            refused=one.refused,
            calls_per_hour=one.calls_per_hour if one.refused is None else 0,
        )
        for one in presences
    )


@dataclass(frozen=True, slots=True)
class RefusedJob:
    """A job that the intake refused."""

    at: Moment | None
    verb: str
    local_id: str
    error: str
    rule: str


def refused_jobs(documents: Iterable[Mapping[str, object]], now: datetime) -> tuple[RefusedJob, ...]:
    """The refused jobs as they are shown, newest first."""
    return tuple(_refused_job(document, now) for document in documents)


def _refused_job(document: Mapping[str, object], now: datetime) -> RefusedJob:
    at = refused_at(document)
    field, rule = (str(document.get(name) or "") for name in ("field", "rule"))
    return RefusedJob(
        at=moment(at, now) if at else None,
        verb=str(document.get("verb", "")),
        local_id=str(document.get("local_id", "")),
        error=str(document.get("error", "")),
        rule=f"{field}: {rule}" if field else rule,
    )


def refused_at(document: Mapping[str, object]) -> datetime | None:
    """When a job was refused; None if that cannot be read."""
    try:
        at = datetime.fromisoformat(str(document.get("at", "")))
    except ValueError:
        return None
    return at if at.tzinfo else None

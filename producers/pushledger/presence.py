"""Agents that are kept online: how they stand, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pushledger.targets import Agent

__all__ = ["Presence", "read_presences"]


@dataclass(frozen=True, slots=True)
class Presence:
    """An agent that is to look online until then.

    ``pinged_at`` is the last ping that the API confirmed, ``next_ping_at`` when the next one is due if calls are left,
    ``refused`` the status with which the API refused the agent; it is then not pinged any more.
    Every ping is a call of the account's budget: ``calls_per_hour`` of them.
    """

    agent: Agent
    until: datetime
    pinged_at: datetime | None
    next_ping_at: datetime | None
    refused: int | None
    calls_per_hour: int

    def to_json(self) -> dict[str, object]:
        """The presence as JSON values; times are ISO 8601 in UTC."""
        agent = {name: value for name in self.agent.__slots__ if (value := getattr(self.agent, name)) is not None}
        return {
            "agent": agent,
            "until": self.until.isoformat(),
            "pinged_at": self.pinged_at and self.pinged_at.isoformat(),
            "next_ping_at": self.next_ping_at and self.next_ping_at.isoformat(),
            "refused": self.refused,
            "calls_per_hour": self.calls_per_hour,
        }


def read_presences(
    now: int, agents: Mapping[str, str], next_pings: Mapping[str, float], ping_every: timedelta
) -> list[Presence]:
    """Read what the ledger keeps of agents (lua/presence.lua), those whose time is over left out; by their end."""
    calls_per_hour = round(timedelta(hours=1) / ping_every)
    found = []
    for agent, line in agents.items():
        ends, pinged, status, *_ = line.split(" ")
        if int(ends) <= now:
            continue
        next_at = None if status != "-" or agent not in next_pings else _moment(str(int(next_pings[agent])))
        found.append(
            Presence(
                agent=Agent.from_json(agent),
                until=_moment(ends),
                pinged_at=None if pinged == "-" else _moment(pinged),
                next_ping_at=next_at,
                refused=None if status == "-" else int(status),
                calls_per_hour=calls_per_hour,
            )
        )
    return sorted(found, key=lambda presence: presence.until)


def _moment(milliseconds: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))

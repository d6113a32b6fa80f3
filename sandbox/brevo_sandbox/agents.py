"""Who writes to visitors: agents known by id, and the dummy ones made for an unknown email; and who is online.

Brevo's specification of `agentOnlinePing` says that an unknown email creates a "dummy" agent, and that a ping
counts for two to three minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from brevo_sandbox.ids import derived_id
from brevo_sandbox.wire import Json

AGENT_NAMES = ("Liz", "Julia", "Marco", "Aïcha", "Tom", "Ines", "Noor", "Pavel")


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent; a dummy one has the email under which it was first named."""

    id: str
    name: str
    email: str | None = None

    @property
    def dummy(self) -> bool:
        """Whether it exists only because somebody used its email."""
        return self.email is not None


@dataclass(frozen=True, slots=True)
class Presence:
    """An agent's pings; times are Unix seconds."""

    agent: Agent
    pings: int
    last_ping: float
    online_until: float

    def online(self, now: float) -> bool:
        """Whether a visitor sees the agent online."""
        return now < self.online_until

    def as_json(self, now: float) -> dict[str, Json]:
        """Show it for inspection, times in Unix milliseconds like those of messages."""
        return {
            "id": self.agent.id,
            "name": self.agent.name,
            "email": self.agent.email,
            "dummy": self.agent.dummy,
            "online": self.online(now),
            "onlineUntil": int(self.online_until * 1000),
            "lastPing": int(self.last_ping * 1000),
            "pings": self.pings,
        }


class Agents:
    """Every dummy agent and every ping so far."""

    def __init__(self) -> None:
        self._dummies: dict[str, Agent] = {}
        self._presences: dict[str, Presence] = {}

    def by_id(self, agent_id: str) -> Agent:
        """Get an agent; any id is one, always under the same name."""
        return self._dummies.get(agent_id) or _named(agent_id)

    def by_email(self, email: str, name: str) -> Agent:
        """Get the agent of an email, made with this name at the first call and keeping it ever after."""
        agent_id = derived_id(f"email:{email.lower()}")
        return self._dummies.setdefault(agent_id, Agent(agent_id, name, email))

    def of_group(self, group_id: str) -> Agent:
        """Get the agent who speaks for a group, always the same one."""
        return self.by_id(derived_id(group_id))

    def ping(self, agent: Agent, now: float, seconds: float) -> None:
        """Let an agent be online for so many seconds from now."""
        before = self._presences.get(agent.id)
        pings = 1 if before is None else before.pings + 1
        self._presences[agent.id] = Presence(agent, pings, now, now + seconds)

    def presences(self) -> Iterable[Presence]:
        """List every agent that ever pinged, in the order of their first pings."""
        return self._presences.values()

    def anybody_online(self, now: float) -> bool:
        """Tell whether a visitor would find an agent online."""
        return any(presence.online(now) for presence in self._presences.values())


# A shop writes in the name of a few agents, over and over.
@lru_cache(maxsize=1024)
def _named(agent_id: str) -> Agent:
    return Agent(agent_id, AGENT_NAMES[crc32(agent_id.encode("utf-8", "surrogatepass")) % len(AGENT_NAMES)])

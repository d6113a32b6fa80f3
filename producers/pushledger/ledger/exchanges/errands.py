"""Exchanges for calls that belong to no message: agents kept online, and readings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from pushledger.errors import InvalidJob
from pushledger.ledger.audit import NOBODY, By, audit_document
from pushledger.ledger.deliveries import Budget, Drawn
from pushledger.ledger.exchange import Command, Exchange, Reply
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import pairs, scored
from pushledger.ledger.policy import milliseconds
from pushledger.presence import Presence, read_presences
from pushledger.targets import Agent

__all__ = ["ErrandExchanges"]


class ErrandExchanges(AccountExchange):
    """Keep agents online; draw calls for readings."""

    __slots__ = ()

    def keep_online(
        self, agent: Agent, until: datetime | None, duration: timedelta | None, by: By = NOBODY
    ) -> Exchange[None]:
        """Want an agent online, until a time or for so long. Its reader raises InvalidJob for what is over."""
        ends = "" if until is None else round(until.timestamp() * 1000)
        wait = "" if duration is None else milliseconds(duration)
        call = self.call("online", agent.to_json(), ends, wait, _audited("keep_online", by, agent))

        def read(replies: Sequence[Reply]) -> None:
            if replies[0] == "":
                raise InvalidJob("until", "must be in the future")

        return self.synced(Exchange((call,), read))

    def go_offline(self, agent: Agent, by: By = NOBODY) -> Exchange[bool]:
        """Stop keeping an agent online; whether it was."""
        call = self.call("offline", agent.to_json(), _audited("go_offline", by, agent))
        return self.synced(Exchange((call,), lambda replies: bool(replies[0])))

    def presences(self) -> Exchange[list[Presence]]:
        """All agents that are kept online."""
        commands = (
            Command(("TIME",)),
            Command(("HGETALL", self.keys.agents)),
            Command(("ZRANGE", self.keys.presence, 0, -1, "WITHSCORES")),
        )

        def read(replies: Sequence[Reply]) -> list[Presence]:
            seconds, microseconds = cast("tuple[str, str]", replies[0])
            given = self.given_now()
            now = given if given is not None else int(seconds) * 1000 + int(microseconds) // 1000
            return read_presences(now, pairs(replies[1]), scored(replies[2]), self.policy.ping_every)

        return Exchange(commands, read)

    def draw(self, token: str, budget: Budget, lease: timedelta, polite: bool) -> Exchange[Drawn]:
        """Draw one call for a reading; ``polite`` lets every message that can be sent go first."""
        call = self.call("draw", token, budget.render(), budget.high_share, milliseconds(lease), int(polite))

        def read(replies: Sequence[Reply]) -> Drawn:
            drawn, wait, reason = cast("tuple[int, int, str]", replies[0])
            return Drawn(bool(drawn), timedelta(milliseconds=int(wait)), reason)

        return self.synced(Exchange((call,), read))


def _audited(action: str, by: By, agent: Agent) -> str:
    # What a shop's process does by itself would push what people did out of the trail.
    name = agent.agent_id or agent.agent_name or ""
    return audit_document(action, by, details={"agent": name}) if by.name else ""

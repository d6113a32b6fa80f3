"""Exchanges of the intake: jobs it refused, and jobs that wait for their create."""

from __future__ import annotations

from typing import cast

from pushledger.ledger.exchange import Command, Exchange
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import items, pairs

__all__ = ["IntakeExchanges"]


class IntakeExchanges(AccountExchange):
    """Keep documents of the intake, and drop them."""

    __slots__ = ()

    def refuse(self, document: str, keep: int) -> Exchange[None]:
        """Keep a job that the intake had to refuse, dropping the oldest beyond ``keep``.

        A repetition of the newest document is taken out first, so that running twice keeps one.
        """
        key = self.keys.refused
        commands = (
            Command(("LREM", key, 1, document)),
            Command(("LPUSH", key, document)),
            Command(("LTRIM", key, 0, keep - 1)),
        )
        return Exchange(commands, lambda _: None)

    def refused(self, limit: int) -> Exchange[list[str]]:
        """The refused jobs' documents, newest first."""
        command = Command(("LRANGE", self.keys.refused, 0, limit - 1))
        return Exchange((command,), lambda replies: [str(document) for document in items(replies[0])])

    def park(self, task_id: str, document: str) -> Exchange[None]:
        """Keep an intake job that waits for its create; parking it again changes nothing."""
        return Exchange((Command(("HSETNX", self.keys.parked, task_id, document)),), lambda _: None)

    def parked(self) -> Exchange[dict[str, str]]:
        """The parked jobs' documents by task id."""
        return Exchange((Command(("HGETALL", self.keys.parked)),), lambda replies: pairs(replies[0]))

    def parked_count(self) -> Exchange[int]:
        """How many intake jobs wait for their create."""
        return Exchange((Command(("HLEN", self.keys.parked)),), lambda replies: int(cast(int, replies[0])))

    def unpark(self, task_id: str) -> Exchange[None]:
        """Drop a parked job, once it is recorded or refused."""
        return Exchange((Command(("HDEL", self.keys.parked, task_id)),), lambda _: None)

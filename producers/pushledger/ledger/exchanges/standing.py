"""Exchanges about the account as a whole: pause, budget, counters, the server's settings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from pushledger.ledger.account import Account, read_account
from pushledger.ledger.deliveries import Budget
from pushledger.ledger.exchange import Command, Exchange, Reply
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import pairs, scores, whole
from pushledger.ledger.keys import PRIORITIES
from pushledger.ledger.policy import milliseconds
from pushledger.ledger.server import SERVER_SETTINGS

__all__ = ["StandingExchanges"]


class StandingExchanges(AccountExchange):
    """How the account stands, and its pause."""

    __slots__ = ()

    def pause(self, duration: timedelta | None, reason: str) -> Exchange[None]:
        """Pause the account for so long, or resume it (None)."""
        wait = "" if duration is None else milliseconds(duration)
        return Exchange((self.call("pause", wait, reason),), lambda _: None)

    def account(self, budget: Budget) -> Exchange[Account]:
        """How the account stands: pause, budget, and what waits."""
        windows = tuple(
            Command(("ZRANGE", f"{self.keys.prefix}slots:{milliseconds(window.period)}", 0, -1, "WITHSCORES"))
            for window in budget.windows
        )
        heard = f"{self.keys.prefix}budget"
        oldest = tuple(Command(("ZRANGE", self.keys.due(p), 0, 0, "WITHSCORES")) for p in PRIORITIES)
        cards = tuple(Command(("ZCARD", self.keys.due(p))) for p in PRIORITIES)
        head = (Command(("TIME",)), Command(("HGETALL", self.keys.pause)), Command(("HGETALL", heard)))
        commands = (*head, *oldest, *cards, *windows)

        def read(replies: Sequence[Reply]) -> Account:
            seconds, microseconds = cast("tuple[str, str]", replies[0])
            now = self.now if self.now is not None else int(seconds) * 1000 + int(microseconds) // 1000
            slots = [scores(reply) for reply in replies[9:]]
            firsts = [score for reply in replies[3:6] for score in scores(reply)]
            return read_account(
                now, pairs(replies[1]), pairs(replies[2]), firsts, sum(map(whole, replies[6:9])), slots, budget
            )

        return Exchange(commands, read)

    def counts(self) -> Exchange[dict[str, int]]:
        """How many messages wait, are in the air, are held …, and how many ids the map knows."""
        due = tuple(Command(("ZCARD", self.keys.due(p))) for p in PRIORITIES)
        others = ("retrying", "held", "failed", "expired", "deleted")
        commands = (
            *due,
            Command(("ZCARD", self.keys.leases)),
            Command(("HLEN", self.keys.map)),
            *(Command(("ZCARD", self.keys.state(state))) for state in others),
        )

        def read(replies: Sequence[Reply]) -> dict[str, int]:
            numbers = [int(cast(int, reply)) for reply in replies]
            found = dict(zip(("sending", "known", *others), numbers[3:], strict=True))
            return {"queued": sum(numbers[:3]) - found["retrying"], **found}

        return Exchange(commands, read)

    def stats(self) -> Exchange[dict[str, int]]:
        """The account's counters since its first day."""
        command = Command(("HGETALL", self.keys.stats))
        return Exchange((command,), lambda replies: {k: int(v) for k, v in pairs(replies[0]).items()})

    def server_config(self) -> Exchange[dict[str, str]]:
        """The server's settings that decide what it keeps; some servers refuse to tell them."""
        commands = tuple(Command(("CONFIG", "GET", name)) for name in SERVER_SETTINGS)
        return Exchange(commands, lambda replies: {k: v for reply in replies for k, v in pairs(reply).items()})

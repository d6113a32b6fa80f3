"""Exchanges about the account as a whole: pause, budget, counters, the server's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

from pushledger.ledger.account import Account, Heartbeat, read_account
from pushledger.ledger.audit import NOBODY, By, audit_document
from pushledger.ledger.deliveries import GENERAL_TIER, Budget
from pushledger.ledger.exchange import Command, Exchange, Reply
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import items, pairs, scores, whole
from pushledger.ledger.history import Sample, sample
from pushledger.ledger.keys import PRIORITIES
from pushledger.ledger.policy import milliseconds
from pushledger.ledger.server import SERVER_SETTINGS
from pushledger.message import moment

__all__ = ["StandingExchanges"]


class StandingExchanges(AccountExchange):
    """How the account stands, and its pause."""

    __slots__ = ()

    def pause(self, duration: timedelta | None, reason: str, by: By = NOBODY) -> Exchange[None]:
        """Pause the account for so long, or resume it (None)."""
        wait = "" if duration is None else milliseconds(duration)
        details = {} if duration is None else {"reason": reason, "seconds": f"{duration.total_seconds():g}"}
        document = audit_document("resume" if duration is None else "pause", by, details=details)
        return Exchange((self.call("pause", wait, reason, document),), lambda _: None)

    def heartbeat(self) -> Exchange[Heartbeat]:
        """When a delivery last began, and the server's time now."""
        commands = (Command(("TIME",)), Command(("GET", self.keys.heartbeat)))

        def read(replies: Sequence[Reply]) -> Heartbeat:
            last = replies[1]
            return Heartbeat(_now(replies[0], self.given_now()), None if last is None else moment(str(last)))

        return Exchange(commands, read)

    def history(self, limit: int) -> Exchange[list[Sample]]:
        """The newest samples of the counters, oldest first."""
        command = Command(("LRANGE", self.keys.history, -limit, -1))
        return Exchange((command,), lambda replies: [sample(str(line)) for line in items(replies[0])])

    def budget(self) -> Exchange[Budget]:
        """What the worker keeps to that last began a delivery."""

        def read(replies: Sequence[Reply]) -> Budget:
            share, _, windows = str(replies[0] or "").partition(" ")
            try:
                return Budget.parse(share, windows)
            except (ValueError, OverflowError):  # no worker has begun, or another hand was at work in Redis
                return GENERAL_TIER

        return Exchange((Command(("GET", self.keys.rate)),), read)

    def account(self, budget: Budget) -> Exchange[Account]:
        """How the account stands: pause, budget, and what waits."""
        keys = [f"{self.keys.prefix}slots:{milliseconds(window.period)}" for window in budget.windows]
        parts = [*keys, *(f"{key}:common" for key in keys)]
        windows = tuple(Command(("ZRANGE", key, 0, -1, "WITHSCORES")) for key in parts)
        heard = f"{self.keys.prefix}budget"
        oldest = tuple(Command(("ZRANGE", self.keys.due(p), 0, 0, "WITHSCORES")) for p in PRIORITIES)
        cards = tuple(Command(("ZCARD", self.keys.due(p))) for p in PRIORITIES)
        head = (Command(("TIME",)), Command(("HGETALL", self.keys.pause)), Command(("HGETALL", heard)))
        # Each worker's tick takes samples: the newest tells when one last looked after the account.
        commands = (*head, *oldest, *cards, *windows, Command(("LINDEX", self.keys.history, -1)))

        def read(replies: Sequence[Reply]) -> Account:
            now = round(_now(replies[0], self.given_now()).timestamp() * 1000)
            slots = [scores(reply) for reply in replies[9:-1]]
            every, common = slots[: len(keys)], slots[len(keys) :]
            firsts = [score for reply in replies[3:6] for score in scores(reply)]
            waiting = sum(map(whole, replies[6:9]))
            last = None if replies[-1] is None else sample(str(replies[-1])).at
            return replace(
                read_account(now, pairs(replies[1]), pairs(replies[2]), firsts, waiting, every, common, budget),
                looked_after_at=last,
            )

        return Exchange(commands, read)

    def counts(self) -> Exchange[dict[str, int]]:
        """How many messages wait, are in the air, are held …, and how many ids the map knows."""
        others = ("retrying", "held", "failed", "expired", "deleted")
        commands = (
            Command(("ZCARD", self.keys.state("queued"))),
            Command(("ZCARD", self.keys.leases)),
            Command(("HLEN", self.keys.map)),
            *(Command(("ZCARD", self.keys.state(state))) for state in others),
        )
        names = ("queued", "sending", "known", *others)
        return Exchange(commands, lambda replies: dict(zip(names, map(whole, replies), strict=True)))

    def stats(self) -> Exchange[dict[str, int]]:
        """The account's counters since its first day."""
        command = Command(("HGETALL", self.keys.stats))
        return Exchange((command,), lambda replies: {k: int(v) for k, v in pairs(replies[0]).items()})

    def server_info(self) -> Exchange[Mapping[str, object]]:
        """What the server tells of itself."""
        return Exchange((Command(("INFO",)),), lambda replies: cast("Mapping[str, object]", replies[0]))

    def server_config(self) -> Exchange[dict[str, str]]:
        """The server's settings that decide what it keeps; some servers refuse to tell them."""
        commands = tuple(Command(("CONFIG", "GET", name)) for name in SERVER_SETTINGS)
        return Exchange(commands, lambda replies: {k: v for reply in replies for k, v in pairs(reply).items()})


def _now(reply: Reply, given: int | None) -> datetime:
    seconds, microseconds = cast("tuple[str, str]", reply)
    milliseconds_now = int(seconds) * 1000 + int(microseconds) // 1000 if given is None else given
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds_now)

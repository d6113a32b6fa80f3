"""The ledgers of several accounts on one server: over the same connections, looked at in one round trip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pushledger.ledger.connection import AsyncConnection, Connection
from pushledger.ledger.deliveries import Budget
from pushledger.ledger.exchange import Command, Exchange, Reply, together
from pushledger.ledger.exchanges import SAFE_WITHIN, Exchanges
from pushledger.ledger.exchanges.replies import items
from pushledger.ledger.keys import ACCOUNTS, Keys
from pushledger.ledger.ledger import AsyncLedger, Ledger
from pushledger.ledger.policy import LedgerPolicy
from pushledger.signals import Signal

__all__ = ["Accounts", "AsyncAccounts", "Looked", "Question"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a worker's tick asks of one account. ``signals`` is how many it takes at most, ``done`` and ``held`` are
    lines that it took before (see Ledger.take_signals); ``counts``: whether it wants to know how many messages wait."""

    account: str
    policy: LedgerPolicy
    budget: Budget
    signals: int
    lease: timedelta
    overdue_after: timedelta
    done: Collection[str] = ()
    held: Collection[str] = ()
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What one account answered: whether to send a wake-up, what to tell, how many jobs of the intake are parked."""

    wake: bool
    signals: Mapping[str, Signal]
    parked: int
    waiting: int


class Accounts:
    """The accounts of a server. Every method may raise LedgerUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def from_url(cls, url: str, timeout: timedelta) -> Accounts:
        """Those of a server; connects at the first use."""
        return cls(Connection.from_url(url, timeout + SAFE_WITHIN))

    def ledger(self, account: str, policy: LedgerPolicy) -> Ledger:
        """One account's ledger; it is closed with all others."""
        return Ledger(self._connection, account, policy)

    def known(self) -> list[str]:
        """The names of all accounts that ever had a job or a worker, in their order."""
        return self._connection.run(_known())

    def introduce(self, accounts: Collection[str]) -> None:
        """Make accounts known before they have a job."""
        self._connection.run(Exchange((Command(("SADD", ACCOUNTS, *accounts)),), lambda _: None))

    def look(self, asker: str, questions: Sequence[Question]) -> dict[str, Looked]:
        """What a tick wants to know of all its accounts, in one round trip."""
        found = self._connection.run(together([_look(asker, question) for question in questions]))
        return {question.account: looked for question, looked in zip(questions, found, strict=True)}

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()


class AsyncAccounts:
    """The same for asyncio; see Accounts."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    def from_url(cls, url: str, timeout: timedelta) -> AsyncAccounts:
        """Those of a server; connects at the first use."""
        return cls(AsyncConnection.from_url(url, timeout + SAFE_WITHIN))

    def ledger(self, account: str, policy: LedgerPolicy) -> AsyncLedger:
        """One account's ledger; it is closed with all others."""
        return AsyncLedger(self._connection, account, policy)

    async def known(self) -> list[str]:
        """The names of all accounts that ever had a job or a worker, in their order."""
        return await self._connection.run(_known())

    async def due(self, asker: str, accounts: Mapping[str, tuple[LedgerPolicy, Budget]]) -> list[str]:
        """Those of which a message can be claimed now. No wake-up is sent for them: the asker begins a delivery."""
        asked = [Exchanges(Keys(name), policy).wake(asker, budget) for name, (policy, budget) in accounts.items()]
        found = await self._connection.run(together(asked))
        return [name for name, (_, next_in) in zip(accounts, found, strict=True) if next_in == timedelta(0)]

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()


def _known() -> Exchange[list[str]]:
    return Exchange((Command(("SMEMBERS", ACCOUNTS)),), lambda replies: sorted(map(str, items(replies[0]))))


def _look(asker: str, question: Question) -> Exchange[Looked]:
    of = Exchanges(Keys(question.account), question.policy)
    wake, parked = of.wake(asker, question.budget), of.parked_count()
    signals = of.take_signals(question.signals, question.lease, question.overdue_after, question.done, question.held)
    counts = of.counts().commands if question.counts else ()

    def read(replies: Sequence[Reply]) -> Looked:
        counted = of.counts().read(replies[3:]) if question.counts else {}
        return Looked(
            wake=wake.read(replies[:1])[0],
            signals=signals.read(replies[1:2]),
            parked=parked.read(replies[2:3]),
            waiting=sum(counted.get(state, 0) for state in ("queued", "retrying", "sending")),
        )

    return Exchange((*wake.commands, *signals.commands, *parked.commands, *counts), read)

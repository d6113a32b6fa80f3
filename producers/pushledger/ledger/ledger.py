"""The ledger of one account, blocking and asyncio. Both carry out the same exchanges."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from pushledger.errors import LedgerUnavailable
from pushledger.jobs import Adoption, Job
from pushledger.ledger.account import Account, Heartbeat
from pushledger.ledger.audit import NOBODY, AuditEntry, By
from pushledger.ledger.belief import Belief, Repairable
from pushledger.ledger.connection import AsyncConnection, Connection
from pushledger.ledger.deliveries import Budget, Claim, Claimed, Drawn, Settled, Settlement
from pushledger.ledger.digests import digest
from pushledger.ledger.exchange import Argument
from pushledger.ledger.exchanges import SAFE_WITHIN, Decided, Decision, DecisionResult, Exchanges, RecordResult
from pushledger.ledger.history import Sample
from pushledger.ledger.keys import Keys
from pushledger.ledger.pages import BulkAction, BulkStep, Filter, Found, Order, Page, Place, SearchBy, SearchPlace
from pushledger.ledger.policy import LedgerPolicy
from pushledger.ledger.server import ServerFacts, read_facts, server_warnings
from pushledger.message import Message, State, TimelineEvent
from pushledger.presence import Presence
from pushledger.signals import Signal
from pushledger.targets import Agent

__all__ = ["AsyncLedger", "Ledger"]

_BATCH = 500
# Looked at in one script: a millisecond or two of the server's time. Acting costs more for each.
_LOOK = 2000
_TRIED = 500
_AT_ONCE = 200


def _patience(policy: LedgerPolicy, timeout: timedelta) -> timedelta:
    return timeout + SAFE_WITHIN if policy.fsync or policy.replica else timeout


def _identified(jobs: Sequence[Job]) -> list[tuple[str, str, Job]]:
    return [(job.job_id or secrets.token_hex(12), secrets.token_hex(6), job) for job in jobs]


def _carried_out(result: DecisionResult) -> Decided:
    if isinstance(result, Decided):
        return result
    raise result


def _details(state: State, wanted: Filter) -> dict[str, str]:
    values = {
        "state": state,
        "prefix": wanted.prefix,
        "reason": wanted.reason,
        "priority": wanted.priority,
        "since": wanted.since,
        "until": wanted.until,
    }
    return {name: str(value) for name, value in values.items() if value}


class Ledger:
    """What the shop wants shown and what the API last confirmed, for every local id of an account.

    Every method may raise LedgerUnavailable.
    """

    def __init__(
        self, connection: Connection, account: str, policy: LedgerPolicy, now: Callable[[], int] | None = None
    ) -> None:
        self._connection = connection
        self._exchanges = Exchanges(Keys(account), policy, now)
        self._digest_key: bytes | None = None

    @classmethod
    def from_url(cls, url: str, account: str, policy: LedgerPolicy, timeout: timedelta) -> Ledger:
        """The ledger on a server; connects at its first use."""
        return cls(Connection.from_url(url, _patience(policy, timeout)), account, policy)

    def record(self, jobs: Sequence[Job], by: By = NOBODY, audited: bool = False) -> list[RecordResult]:
        """Record jobs in their order; a refusal of one does not stop the others."""
        identified, results = _identified(jobs), list[RecordResult]()
        for start in range(0, len(identified), _BATCH):
            batch = identified[start : start + _BATCH]
            exchange = self._exchanges.record(batch, self.digest_key(), by, audited)
            answers = self._connection.run(exchange)
            results += answers
        return results

    def digest_key(self) -> bytes:
        """The secret of the account's digests, made at the first use of the account."""
        if self._digest_key is None:
            self._digest_key = self._connection.run(self._exchanges.digest_key(secrets.token_hex(16)))
        return self._digest_key

    def get(self, local_ids: Sequence[str]) -> list[Message | None]:
        """What is known of each id."""
        return self._connection.run(self._exchanges.get(local_ids))

    def in_state(self, state: State, limit: int) -> list[Message]:
        """Messages in a state: queued ones by how long they wait, others newest first."""
        ids = self._connection.run(self._exchanges.ids(state, limit))
        found = self.get(ids)
        return [message for message in found if message is not None and message.state == state]

    def timeline(self, local_id: str) -> list[TimelineEvent]:
        """What happened to a message, oldest first."""
        return self._connection.run(self._exchanges.timeline(local_id))

    def counts(self) -> dict[str, int]:
        """How many messages are in each state."""
        return self._connection.run(self._exchanges.counts())

    def server_warnings(self) -> list[str]:
        """What the server is set to that could lose accepted messages; a sentence each."""
        self.stats()
        try:
            config = self._connection.run(self._exchanges.server_config())
            return server_warnings(config)
        except LedgerUnavailable:  # it answers, as it just did, and refuses to tell
            return server_warnings({})

    def stats(self) -> dict[str, int]:
        """Counters of jobs and calls."""
        return self._connection.run(self._exchanges.stats())

    def decide(
        self, verb: Decision, local_id: str, fields: Mapping[str, Argument] | None = None, by: By = NOBODY
    ) -> Decided:
        """Carry out a person's decision; raises RefusedDecision (or RefusedJob) when it does not fit."""
        exchange = self._exchanges.decide(verb, local_id, secrets.token_hex(12), fields or {}, by)
        return _carried_out(self._connection.run(exchange))

    def adopt(self, found: Adoption, by: By = NOBODY) -> Decided:
        """Take a message under the ledger that exists already."""
        return self.decide("adopt", found.local_id, self._exchanges.adopt_fields(found, self.digest_key()), by)

    def pause(self, duration: timedelta | None, reason: str, by: By = NOBODY) -> None:
        """Pause the account for so long, or resume it (None)."""
        self._connection.run(self._exchanges.pause(duration, reason, by))

    def account(self, budget: Budget | None) -> Account:
        """How the account stands: pause, budget (None: the one its workers keep to), and what waits."""
        if budget is None:
            budget = self._connection.run(self._exchanges.budget())
        return self._connection.run(self._exchanges.account(budget))

    def keep_online(self, agent: Agent, until: datetime | None, duration: timedelta | None, by: By = NOBODY) -> None:
        """Want an agent online, until a time or for so long; raises InvalidJob when that is over already."""
        self._connection.run(self._exchanges.keep_online(agent, until, duration, by))

    def go_offline(self, agent: Agent, by: By = NOBODY) -> bool:
        """Stop keeping an agent online; whether it was."""
        return self._connection.run(self._exchanges.go_offline(agent, by))

    def presences(self) -> list[Presence]:
        """All agents that are kept online."""
        return self._connection.run(self._exchanges.presences())

    def forget(self, local_id: str, by: By = NOBODY) -> bool:
        """Erase what is stored of a message; whether there was anything."""
        return self._connection.run(self._exchanges.forget(local_id, by))

    def audit(self, skip: int, limit: int) -> list[AuditEntry]:
        """What people did, newest first, after the ``skip`` newest."""
        return self._connection.run(self._exchanges.audit(skip, limit))

    def ids_of_visitor(self, visitor_id: str) -> Iterator[str]:
        """The ids of all records that hold this visitor. Looks at every record, some at a time."""
        lane, cursor = digest(self.digest_key(), visitor_id), -1
        while cursor:
            cursor, ids = self._connection.run(self._exchanges.records_page(max(cursor, 0)))
            lanes = self._connection.run(self._exchanges.lanes(ids)) if ids else []
            yield from (local_id for local_id, its in zip(ids, lanes, strict=True) if its == lane)

    def entries(self) -> Iterator[tuple[str, str]]:
        """All entries of the map, while workers run; an entry that changes meanwhile may come twice."""
        cursor = -1
        while cursor:
            cursor, page = self._connection.run(self._exchanges.entries_page(max(cursor, 0)))
            yield from page.items()

    def digest_mark(self) -> str:
        """Tells accounts with other digest keys apart, and gives nothing of the key away."""
        return hashlib.sha256(self.digest_key()).hexdigest()[:16]

    def restore(self, entries: Sequence[tuple[str, str]]) -> list[bool]:
        """Put exported entries back; False for those that the ledger knows already."""
        return self._connection.run(self._exchanges.restore(entries)) if entries else []

    def wake(self, asker: str, budget: Budget) -> tuple[bool, timedelta | None]:
        """Whether the asker shall send a wake-up now, and how long until there is something to claim."""
        return self._connection.run(self._exchanges.wake(asker, budget))

    def take_signals(
        self,
        wanted: int,
        *,
        lease: timedelta,
        overdue_after: timedelta = timedelta(0),
        done: Collection[str] = (),
        held: Collection[str] = (),
    ) -> dict[str, Signal]:
        """Take up to ``wanted`` signals for the people on duty, by the line that names each; nobody else gets them
        before the lease is over.

        ``overdue_after``: from that age on, the oldest due message is a signal; 0: never. ``done`` and ``held`` are
        lines that were taken before: those told leave the ledger, those still being told are kept for another lease.
        """
        return self._connection.run(self._exchanges.take_signals(wanted, lease, overdue_after, done, held))

    def refuse(self, document: str, keep: int = 10_000) -> None:
        """Keep a job that the intake had to refuse."""
        self._connection.run(self._exchanges.refuse(document, keep))

    def refused(self, limit: int) -> list[str]:
        """Documents of refused jobs, newest first."""
        return self._connection.run(self._exchanges.refused(limit))

    def park(self, task_id: str, document: str) -> None:
        """Keep an intake job that waits for its create."""
        self._connection.run(self._exchanges.park(task_id, document))

    def parked(self) -> dict[str, str]:
        """Documents of parked jobs by task id."""
        return self._connection.run(self._exchanges.parked())

    def parked_count(self) -> int:
        """How many intake jobs wait for their create."""
        return self._connection.run(self._exchanges.parked_count())

    def unpark(self, task_id: str) -> None:
        """Drop a parked job."""
        self._connection.run(self._exchanges.unpark(task_id))

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()


class AsyncLedger:
    """The same ledger for asyncio; see Ledger."""

    def __init__(
        self, connection: AsyncConnection, account: str, policy: LedgerPolicy, now: Callable[[], int] | None = None
    ) -> None:
        self._connection = connection
        self._exchanges = Exchanges(Keys(account), policy, now)
        self._digest_key: bytes | None = None

    @classmethod
    def from_url(cls, url: str, account: str, policy: LedgerPolicy, timeout: timedelta) -> AsyncLedger:
        """The ledger on a server; connects at its first use."""
        return cls(AsyncConnection.from_url(url, _patience(policy, timeout)), account, policy)

    async def record(self, jobs: Sequence[Job], by: By = NOBODY, audited: bool = False) -> list[RecordResult]:
        """Record jobs in their order; a refusal of one does not stop the others."""
        identified, results = _identified(jobs), list[RecordResult]()
        for start in range(0, len(identified), _BATCH):
            batch = identified[start : start + _BATCH]
            exchange = self._exchanges.record(batch, await self.digest_key(), by, audited)
            answers = await self._connection.run(exchange)
            results += answers
        return results

    async def digest_key(self) -> bytes:
        """The secret of the account's digests, made at the first use of the account."""
        if self._digest_key is None:
            self._digest_key = await self._connection.run(self._exchanges.digest_key(secrets.token_hex(16)))
        return self._digest_key

    async def get(self, local_ids: Sequence[str]) -> list[Message | None]:
        """What is known of each id."""
        return await self._connection.run(self._exchanges.get(local_ids))

    async def in_state(self, state: State, limit: int) -> list[Message]:
        """Messages in a state: queued ones by how long they wait, others newest first."""
        ids = await self._connection.run(self._exchanges.ids(state, limit))
        found = await self.get(ids)
        return [message for message in found if message is not None and message.state == state]

    async def timeline(self, local_id: str) -> list[TimelineEvent]:
        """What happened to a message, oldest first."""
        return await self._connection.run(self._exchanges.timeline(local_id))

    async def counts(self) -> dict[str, int]:
        """How many messages are in each state."""
        return await self._connection.run(self._exchanges.counts())

    async def stats(self) -> dict[str, int]:
        """Counters of jobs and calls."""
        return await self._connection.run(self._exchanges.stats())

    async def server_warnings(self) -> list[str]:
        """What the server is set to that could lose accepted messages; see Ledger.server_warnings."""
        await self.stats()
        try:
            config = await self._connection.run(self._exchanges.server_config())
            return server_warnings(config)
        except LedgerUnavailable:  # it answers, as it just did, and refuses to tell
            return server_warnings({})

    async def server_facts(self) -> ServerFacts:
        """What the server is, and is set to, as far as it tells."""
        await self.stats()
        info: Mapping[str, object] = {}
        config: dict[str, str] = {}
        # It answers, as it just did; what it refuses to tell stays empty.
        with suppress(LedgerUnavailable):
            info = await self._connection.run(self._exchanges.server_info())
        with suppress(LedgerUnavailable):
            config = await self._connection.run(self._exchanges.server_config())
        return read_facts(info, config)

    async def page(
        self, state: State, order: Order, limit: int, place: Place | None, wanted: Filter, within: timedelta
    ) -> Page:
        """Ids of up to ``limit`` messages of a state; fewer, and a place to go on, when ``within`` is over first."""
        ends, looked_at, ids = time.monotonic() + within.total_seconds(), 0, list[str]()
        while True:
            exchange = self._exchanges.page(state, order, limit - len(ids), _LOOK, place, wanted)
            page = await self._connection.run(exchange)
            place, looked_at = page.place, looked_at + page.looked_at
            ids += page.ids
            if place is None or len(ids) >= limit or time.monotonic() >= ends:
                return replace(page, ids=tuple(ids), looked_at=looked_at)

    async def search(
        self, by: SearchBy, needle: str, limit: int, place: SearchPlace | None, within: timedelta
    ) -> Found:
        """Look through all messages for as long as ``within``, or until about ``limit`` are found.

        Messages that move meanwhile may be found twice, or, seldom, not at all.
        """
        ends = time.monotonic() + within.total_seconds()
        sought = digest(await self.digest_key(), needle) if by == "visitor_id" else needle
        sizes = await self._connection.run(self._exchanges.parts(by))
        at, found = place or SearchPlace(), dict[str, None]()
        while at.part < len(sizes):
            exchange = self._exchanges.find(by, sought, at.part, at.cursor, _LOOK)
            cursor, looked_at, ids = await self._connection.run(exchange)
            at = SearchPlace(at.part + (cursor == "0"), cursor, at.looked_at + looked_at)
            found.update(dict.fromkeys(ids))
            if len(found) >= limit or time.monotonic() >= ends:
                break
        following = at if at.part < len(sizes) else None
        return Found(tuple(found), at.looked_at, max(sum(sizes), at.looked_at), following)

    async def bulk(
        self,
        action: BulkAction,
        state: State,
        wanted: Filter,
        limit: int,
        place: Place | None,
        within: timedelta,
        by: By | None,
    ) -> tuple[BulkStep, bool]:
        """Do something to up to ``limit`` messages of a state, newest first, for as long as ``within``; and whether to
        publish a wake-up. Without ``by`` nothing is done: a dry run.

        What comes to the state after the first step is left out, so that a message that fails again is not met again.
        """
        ends, wake = time.monotonic() + within.total_seconds(), False
        step = BulkStep(messages=0, calls=0, refused=0, looked_at=0, left=0, place=place)
        while True:
            most = _TRIED if by is None else _AT_ONCE
            room = min(most, limit - step.messages)
            exchange = self._exchanges.page(state, "newest", room, most, step.place, wanted, action)
            page = await self._connection.run(exchange)
            refused = page.refused
            if by is not None and page.ids:
                targets = [(local_id, secrets.token_hex(12)) for local_id in page.ids]
                answers = await self._connection.run(self._exchanges.act(action, targets, by, _details(state, wanted)))
                refused += sum(isinstance(answer, Exception) for answer in answers)
                wake = wake or any(not isinstance(answer, Exception) and answer.wake for answer in answers)
            step = BulkStep(
                messages=step.messages + len(page.ids) + page.refused - refused,
                calls=step.calls + page.calls,
                refused=step.refused + refused,
                looked_at=step.looked_at + page.looked_at,
                left=page.left,
                place=page.place,
            )
            if step.place is None or step.messages >= limit or time.monotonic() >= ends:
                return step, wake

    async def heartbeat(self) -> Heartbeat:
        """When a delivery last began, and the server's time now."""
        return await self._connection.run(self._exchanges.heartbeat())

    async def history(self, limit: int) -> list[Sample]:
        """The newest samples of the counters, one a minute, oldest first."""
        return await self._connection.run(self._exchanges.history(limit))

    async def adopt(self, found: Adoption, by: By = NOBODY) -> Decided:
        """Take a message under the ledger that exists already."""
        fields = self._exchanges.adopt_fields(found, await self.digest_key())
        return await self.decide("adopt", found.local_id, fields, by)

    async def decide(
        self, verb: Decision, local_id: str, fields: Mapping[str, Argument] | None = None, by: By = NOBODY
    ) -> Decided:
        """Carry out a person's decision; raises RefusedDecision (or RefusedJob) when it does not fit."""
        exchange = self._exchanges.decide(verb, local_id, secrets.token_hex(12), fields or {}, by)
        return _carried_out(await self._connection.run(exchange))

    async def pause(self, duration: timedelta | None, reason: str, by: By = NOBODY) -> None:
        """Pause the account for so long, or resume it (None)."""
        await self._connection.run(self._exchanges.pause(duration, reason, by))

    async def account(self, budget: Budget | None) -> Account:
        """How the account stands: pause, budget (None: the one its workers keep to), and what waits."""
        if budget is None:
            budget = await self._connection.run(self._exchanges.budget())
        return await self._connection.run(self._exchanges.account(budget))

    async def keep_online(
        self, agent: Agent, until: datetime | None, duration: timedelta | None, by: By = NOBODY
    ) -> None:
        """Want an agent online, until a time or for so long; raises InvalidJob when that is over already."""
        await self._connection.run(self._exchanges.keep_online(agent, until, duration, by))

    async def go_offline(self, agent: Agent, by: By = NOBODY) -> bool:
        """Stop keeping an agent online; whether it was."""
        return await self._connection.run(self._exchanges.go_offline(agent, by))

    async def presences(self) -> list[Presence]:
        """All agents that are kept online."""
        return await self._connection.run(self._exchanges.presences())

    async def belief(self, local_id: str) -> Belief | None:
        """What the ledger believes that the API shows of a message; None for an unknown id."""
        return await self._connection.run(self._exchanges.belief(local_id))

    async def digest(self, text: str) -> str:
        """The digest under which the ledger keeps a text."""
        return digest(await self.digest_key(), text)

    async def repair(
        self, local_id: str, belief: Belief, finding: Repairable, seen_digest: str, by: By = NOBODY
    ) -> Decided:
        """Bring a message back to what it should show; raises RefusedDecision when it cannot be, or has moved on."""
        fields = self._exchanges.repair_fields(belief, finding, seen_digest)
        return await self.decide("repair", local_id, fields, by)

    async def shown_ids(self) -> AsyncIterator[str]:
        """The local ids of all messages whose id at the API is known; one that changes meanwhile may come twice."""
        cursor = -1
        while cursor:
            cursor, page = await self._connection.run(self._exchanges.entries_page(max(cursor, 0)))
            for local_id in page:
                yield local_id

    async def ids(self, state: State, limit: int) -> list[str]:
        """The local ids of messages in a state."""
        return await self._connection.run(self._exchanges.ids(state, limit))

    async def draw(self, token: str, budget: Budget, lease: timedelta, polite: bool) -> Drawn:
        """Draw one call for a reading; ``polite`` lets every message that can be sent go first."""
        return await self._connection.run(self._exchanges.draw(token, budget, lease, polite))

    async def forget(self, local_id: str, by: By = NOBODY) -> bool:
        """Erase what is stored of a message; whether there was anything."""
        return await self._connection.run(self._exchanges.forget(local_id, by))

    async def audit(self, skip: int, limit: int) -> list[AuditEntry]:
        """What people did, newest first, after the ``skip`` newest."""
        return await self._connection.run(self._exchanges.audit(skip, limit))

    async def claim(self, claim_id: str, wanted: int, lease: timedelta, budget: Budget) -> Claim:
        """Take up to ``wanted`` messages, each for one call; the same ``claim_id`` answers the same."""
        return await self._connection.run(self._exchanges.claim(claim_id, wanted, lease, budget))

    async def settle(self, settlements: Sequence[tuple[Claimed, Settlement]], budget: Budget) -> list[Settled]:
        """Hand back what came of calls."""
        return await self._connection.run(self._exchanges.settle(settlements, budget))

    async def settle_and_claim(
        self,
        settlements: Sequence[tuple[Claimed, Settlement]],
        claim_id: str,
        wanted: int,
        lease: timedelta,
        budget: Budget,
    ) -> tuple[list[Settled], Claim]:
        """Hand back what came of calls and take more messages, in one round trip."""
        exchange = self._exchanges.settle_and_claim(settlements, claim_id, wanted, lease, budget)
        return await self._connection.run(exchange)

    async def begin(self, budget: Budget) -> None:
        """Say that a delivery within this budget has begun."""
        await self._connection.run(self._exchanges.begin(budget))

    async def refused(self, limit: int) -> list[str]:
        """Documents of refused jobs, newest first."""
        return await self._connection.run(self._exchanges.refused(limit))

    async def wake(self, asker: str, budget: Budget) -> tuple[bool, timedelta | None]:
        """Whether the asker shall send a wake-up now, and how long until there is something to claim."""
        return await self._connection.run(self._exchanges.wake(asker, budget))

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

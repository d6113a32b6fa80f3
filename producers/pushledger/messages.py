"""The face that shops see: record what a visitor shall see, and ask what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Required, Self, TypedDict, Unpack

from pushledger.errors import InvalidJob, LedgerUnavailable, RefusedJob
from pushledger.jobs import (
    Adoption,
    Create,
    Delete,
    Job,
    Kind,
    Priority,
    Update,
    Upsert,
    check_message_id,
    check_time,
)
from pushledger.ledger import (
    Account,
    AsyncLedger,
    AuditEntry,
    Budget,
    BulkAction,
    BulkStep,
    By,
    Decided,
    Filter,
    Found,
    Heartbeat,
    Ledger,
    Order,
    Page,
    Place,
    RecordResult,
    Sample,
    SearchBy,
    SearchPlace,
    ServerFacts,
    waiting_for,
)
from pushledger.message import Message, Receipt, State, TimelineEvent, Wait, without_digests
from pushledger.presence import Presence
from pushledger.settings import Settings
from pushledger.targets import Agent
from pushledger.wakeup import WakeUps

__all__ = ["AsyncMessages", "Messages", "Options"]


_LONGEST_PAUSE = timedelta(days=3650)
_LONGEST_ONLINE = timedelta(days=366)
_ANY = Filter()
_STEP = timedelta(seconds=0.06)


class Options(TypedDict, total=False):
    """Options of every job; docs/jobs.md explains them."""

    job_id: str
    priority: Priority
    not_before: datetime
    expires_at: datetime
    version: int | datetime
    max_resends: int


class NewMessage(Options, total=False):
    """What create and upsert take beside the local id; docs/jobs.md says which sender fits which kind."""

    visitor_id: Required[str]
    text: Required[str]
    agent_id: str | None
    group_id: str | None
    kind: Kind
    agent_email: str | None
    agent_name: str | None
    received_from: str | None


class Known(TypedDict, total=False):
    """What may be known of a message that is taken under the ledger."""

    kind: Kind
    visitor_id: str | None
    text: str | None
    version: int | datetime | None
    agent_id: str | None
    group_id: str | None
    agent_email: str | None
    agent_name: str | None
    received_from: str | None


def _receipt(result: RecordResult) -> Receipt:
    if isinstance(result, RefusedJob):
        raise result
    return result.receipt


def _answers(results: Iterable[RecordResult]) -> list[Receipt | RefusedJob]:
    return [result if isinstance(result, RefusedJob) else result.receipt for result in results]


def _needs_wake_up(results: Iterable[RecordResult]) -> bool:
    return any(not isinstance(result, RefusedJob) and result.wake for result in results)


def _check_pause(duration: timedelta) -> None:
    if not timedelta(0) < duration <= _LONGEST_PAUSE:
        raise InvalidJob("duration", f"must be longer than 0 and at most {_LONGEST_PAUSE.days} days")


def _agent(agent: Agent | str) -> Agent:
    return agent if isinstance(agent, Agent) else Agent(agent_id=agent)


def _check_online(until: datetime | None, for_: timedelta | None) -> None:
    if (until is None) == (for_ is None):
        raise InvalidJob("until", "give either until or for_: pings cost calls, so they must end")
    check_time("until", until)
    if until is not None and until - datetime.now(UTC) > _LONGEST_ONLINE:
        raise InvalidJob("until", f"must be within {_LONGEST_ONLINE.days} days")
    if for_ is not None and not timedelta(0) < for_ <= _LONGEST_ONLINE:
        raise InvalidJob("for_", f"must be longer than 0 and at most {_LONGEST_ONLINE.days} days")


def _presence_of(agent: Agent, presences: Iterable[Presence]) -> Presence:
    found = next((presence for presence in presences if presence.agent == agent), None)
    if found is None:
        raise LedgerUnavailable("the agent was taken away again just now")
    return found


def _documents(texts: Iterable[str]) -> list[dict[str, object]]:
    return [json.loads(text) for text in texts]


class Messages:
    """Pushed messages of one account. Thread-safe; make one and keep it.

    ``create``, ``update``, ``upsert`` and ``delete`` return once the ledger has recorded the job. They raise
    InvalidJob or RefusedJob for bad input, at once, and LedgerUnavailable within two seconds when Redis does
    not answer; then repeat the call with the same ``job_id``.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        account: str | None = None,
        ledger: Ledger | None = None,
        wake_ups: WakeUps | None = None,
    ) -> None:
        given = settings or Settings()
        self.settings = given if account is None else given.of_account(account)
        self._ledger = ledger or Ledger.from_url(
            self.settings.redis_url,
            self.settings.account,
            self.settings.policy(),
            self.settings.redis_timeout,
        )
        self._wake_ups = wake_ups or WakeUps(self.settings.broker_url)

    @classmethod
    def from_env(cls, account: str | None = None) -> Self:
        """Messages with settings from the environment (``PUSHLEDGER_…``), of another account if one is named."""
        return cls(Settings(), account=account)

    def create(self, local_id: str, **fields: Unpack[NewMessage]) -> Receipt:
        """Show a new message to a visitor, in the name of an agent or a group."""
        return self._one(Create(local_id, **fields))

    def update(self, local_id: str, *, text: str, **options: Unpack[Options]) -> Receipt:
        """Change the text of a message in place."""
        return self._one(Update(local_id, text, **options))

    def upsert(self, local_id: str, **fields: Unpack[NewMessage]) -> Receipt:
        """Create the message, or change its text if it is there."""
        return self._one(Upsert(local_id, **fields))

    def delete(self, local_id: str, **options: Unpack[Options]) -> Receipt:
        """Take a message away."""
        return self._one(Delete(local_id, **options))

    def submit(self, jobs: Iterable[Job]) -> list[Receipt | RefusedJob]:
        """Record many jobs in few round trips: a receipt or a refusal for each, in their order.

        LedgerUnavailable means that any of them may be recorded; repeat all, with the same job ids.
        """
        results = self._ledger.record(list(jobs))
        if _needs_wake_up(results):
            self._wake_ups.publish(self.settings.account)
        return _answers(results)

    def get(self, local_id: str) -> Message | None:
        """What the ledger knows of a message; None if it never heard of it."""
        return self._ledger.get([local_id])[0]

    def get_all(self, local_ids: Sequence[str]) -> list[Message | None]:
        """What the ledger knows of each of these, in their order, in one round trip."""
        return self._ledger.get(local_ids) if local_ids else []

    def message_id(self, local_id: str) -> str | None:
        """The API's id of the message as it is shown now; None while none is known."""
        message = self.get(local_id)
        return message.message_id if message else None

    def timeline(self, local_id: str) -> list[TimelineEvent]:
        """What happened to a message, oldest first."""
        return self._ledger.timeline(local_id)

    def in_state(self, state: State, limit: int = 100) -> list[Message]:
        """Messages in a state. Delivered ones are listed as long as RETENTION keeps them."""
        return self._ledger.in_state(state, limit)

    def refused(self, limit: int = 100) -> list[dict[str, object]]:
        """What is kept of jobs that the intake refused, newest first: local_id, verb, error, field, rule, at …"""
        return _documents(self._ledger.refused(limit))

    def counts(self) -> dict[str, int]:
        """How many messages are in each state, and how many ids the map knows."""
        return self._ledger.counts()

    def server_warnings(self) -> list[str]:
        """What the ledger's server is set to that could lose accepted messages: a sentence each."""
        return self._ledger.server_warnings()

    def stats(self) -> dict[str, int]:
        """Counters of jobs, decisions and calls since the account's first day."""
        return self._ledger.stats()

    def why(self, local_id: str, budget: Budget | None = None) -> tuple[Wait, ...]:
        """Why a message is not shown yet: every reason with its time, the one that lasts longest last.

        The budget is the one that the workers keep to, unless another is given.
        """
        message = self.get(local_id)
        return waiting_for(message, self.account(budget)) if message else ()

    def account(self, budget: Budget | None = None) -> Account:
        """How the account stands: its pause, its budget, what waits, and how long that will take.

        The budget is the one that the workers keep to, unless another is given; 100 calls an hour before any began.
        """
        return self._ledger.account(budget)

    def retry(self, local_id: str, *, by: str = "", why: str = "") -> State:
        """Try a failed or expired message again. Like resend, resolve and discard, raises RefusedDecision.

        ``by`` and ``why`` say who does it and for what reason: the audit trail keeps them, the timeline the first.
        """
        return self._decided(self._ledger.decide("retry", local_id, by=By(by, why)))

    def resend(self, local_id: str, *, by: str = "", why: str = "") -> State:
        """Send a held message once more, although it may be visible already."""
        return self._decided(self._ledger.decide("resend", local_id, by=By(by, why)))

    def resolve(self, local_id: str, message_id: str, *, by: str = "", why: str = "") -> State:
        """Tell a held message the API's id of its copy; it is then brought to the newest text, or removed."""
        check_message_id(message_id)
        decided = self._ledger.decide("resolve", local_id, {"message_id": message_id}, By(by, why))
        return self._decided(decided)

    def discard(self, local_id: str, *, by: str = "", why: str = "") -> State:
        """Drop what could not be done for a held, failed or expired message; the chat stays as it is."""
        return self._decided(self._ledger.decide("discard", local_id, by=By(by, why)))

    def adopt(self, local_id: str, message_id: str, *, by: str = "", why: str = "", **known: Unpack[Known]) -> State:
        """Take a message under the ledger that exists already at the API. What is not known may be left out."""
        return self._decided(self._ledger.adopt(Adoption(local_id, message_id, **known), By(by, why)))

    def pause(
        self, duration: timedelta = timedelta(days=365), reason: str = "by hand", *, by: str = "", why: str = ""
    ) -> None:
        """Pause the whole account; nothing is claimed until it is over or resumed. Calls in the air end."""
        _check_pause(duration)
        self._ledger.pause(duration, reason, By(by, why))

    def resume(self, *, by: str = "", why: str = "") -> None:
        """End whatever pause stands."""
        self._ledger.pause(None, "", By(by, why))
        self._wake_ups.publish(self.settings.account)

    def keep_online(
        self,
        agent: Agent | str,
        *,
        until: datetime | None = None,
        for_: timedelta | None = None,
        by: str = "",
        why: str = "",
    ) -> Presence:
        """Let an agent (or agent id) look online, until a time or for so long; asking again changes the time.

        Workers ping the API for it once in PING_EVERY, with whatever calls messages leave over. Each ping is a call
        of the account's budget: at the default of one a minute, 60 an hour for each agent, of the 100 that the
        General tier allows for everything. The answer says so (``calls_per_hour``). Raises InvalidJob.
        """
        wanted = _agent(agent)
        _check_online(until, for_)
        self._ledger.keep_online(wanted, until, for_, By(by, why))
        return _presence_of(wanted, self._ledger.presences())

    def go_offline(self, agent: Agent | str, *, by: str = "", why: str = "") -> bool:
        """Stop keeping an agent online; whether it was. The API shows it so for some minutes after its last ping."""
        return self._ledger.go_offline(_agent(agent), By(by, why))

    def presences(self) -> list[Presence]:
        """All agents that are kept online, and how they stand."""
        return self._ledger.presences()

    def audit(self, limit: int = 100, skip: int = 0) -> list[AuditEntry]:
        """What people did, newest first: the last 10,000 entries are kept."""
        return self._ledger.audit(skip, limit)

    def forget(self, local_id: str, *, by: str = "", why: str = "") -> bool:
        """Erase all that is stored of a message, its id at the API too; its visitor goes on seeing it."""
        return self._ledger.forget(local_id, By(by, why))

    def forget_visitor(self, visitor_id: str, *, by: str = "", why: str = "") -> int:
        """Forget every message whose record holds this visitor; how many. Shrunk records hold no visitor."""
        who, found = By(by, why), list(self._ledger.ids_of_visitor(visitor_id))
        return sum(self._ledger.forget(local_id, who) for local_id in found)

    def entries(self) -> Iterator[tuple[str, str]]:
        """All entries of the map, while workers run; one that changes meanwhile may come twice."""
        return self._ledger.entries()

    def restore(self, entries: Sequence[tuple[str, str]], digest_mark: str) -> list[bool]:
        """Put exported entries back; False for those that the ledger knows already.

        ``digest_mark`` is that of the account they come from (``digest_mark()``). If it is another one, what they
        say of text and target cannot be compared here, and counts as unknown.
        """
        if digest_mark != self.digest_mark():
            entries = [(local_id, without_digests(entry)) for local_id, entry in entries]
        return self._ledger.restore(entries)

    def digest_mark(self) -> str:
        """Tells accounts whose digests cannot be compared apart; belongs beside exported entries."""
        return self._ledger.digest_mark()

    def _decided(self, decided: Decided) -> State:
        if decided.wake:
            self._wake_ups.publish(self.settings.account)
        return decided.state

    def _one(self, job: Job) -> Receipt:
        result = self._ledger.record([job])[0]
        receipt = _receipt(result)
        if _needs_wake_up([result]):
            self._wake_ups.publish(self.settings.account)
        return receipt

    def close(self) -> None:
        """Close all connections."""
        self._ledger.close()
        self._wake_ups.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncMessages:
    """The same for asyncio; make it inside the running loop. See Messages."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        account: str | None = None,
        ledger: AsyncLedger | None = None,
        wake_ups: WakeUps | None = None,
    ) -> None:
        given = settings or Settings()
        self.settings = given if account is None else given.of_account(account)
        self._ledger = ledger or AsyncLedger.from_url(
            self.settings.redis_url,
            self.settings.account,
            self.settings.policy(),
            self.settings.redis_timeout,
        )
        self._wake_ups = wake_ups or WakeUps(self.settings.broker_url)

    @classmethod
    def from_env(cls, account: str | None = None) -> Self:
        """Messages with settings from the environment (``PUSHLEDGER_…``), of another account if one is named."""
        return cls(Settings(), account=account)

    async def create(self, local_id: str, **fields: Unpack[NewMessage]) -> Receipt:
        """Show a new message to a visitor, in the name of an agent or a group."""
        return await self._one(Create(local_id, **fields))

    async def update(self, local_id: str, *, text: str, **options: Unpack[Options]) -> Receipt:
        """Change the text of a message in place."""
        return await self._one(Update(local_id, text, **options))

    async def upsert(self, local_id: str, **fields: Unpack[NewMessage]) -> Receipt:
        """Create the message, or change its text if it is there."""
        return await self._one(Upsert(local_id, **fields))

    async def delete(self, local_id: str, **options: Unpack[Options]) -> Receipt:
        """Take a message away."""
        return await self._one(Delete(local_id, **options))

    async def submit(
        self, jobs: Iterable[Job], *, by: str = "", why: str = "", audited: bool = False
    ) -> list[Receipt | RefusedJob]:
        """Record many jobs in few round trips; see Messages.submit.

        ``by`` stands in the timelines; ``audited`` jobs stand in the audit trail too, as those of people should.
        """
        results = await self._ledger.record(list(jobs), By(by, why), audited)
        await self._wake(results)
        return _answers(results)

    async def get(self, local_id: str) -> Message | None:
        """What the ledger knows of a message; None if it never heard of it."""
        return (await self._ledger.get([local_id]))[0]

    async def message_id(self, local_id: str) -> str | None:
        """The API's id of the message as it is shown now; None while none is known."""
        message = await self.get(local_id)
        return message.message_id if message else None

    async def timeline(self, local_id: str) -> list[TimelineEvent]:
        """What happened to a message, oldest first."""
        return await self._ledger.timeline(local_id)

    async def in_state(self, state: State, limit: int = 100) -> list[Message]:
        """Messages in a state. Delivered ones are listed as long as RETENTION keeps them."""
        return await self._ledger.in_state(state, limit)

    async def refused(self, limit: int = 100) -> list[dict[str, object]]:
        """What is kept of jobs that the intake refused; see Messages.refused."""
        return _documents(await self._ledger.refused(limit))

    async def counts(self) -> dict[str, int]:
        """How many messages are in each state, and how many ids the map knows."""
        return await self._ledger.counts()

    async def server_warnings(self) -> list[str]:
        """What the ledger's server is set to that could lose accepted messages: a sentence each."""
        return await self._ledger.server_warnings()

    async def server_facts(self) -> ServerFacts:
        """What the ledger's server is, and is set to, as far as it tells."""
        return await self._ledger.server_facts()

    async def stats(self) -> dict[str, int]:
        """Counters of jobs, decisions and calls since the account's first day."""
        return await self._ledger.stats()

    async def history(self, limit: int = 1440) -> list[Sample]:
        """The counters as they stood each minute of the last day at most, oldest first."""
        return await self._ledger.history(limit)

    async def heartbeat(self) -> Heartbeat:
        """When a delivery last began: each begins with a message that came through broker and worker."""
        return await self._ledger.heartbeat()

    async def wake_up(self) -> bool:
        """Send a wake-up, whether anything is due or not; False when the broker did not take it."""
        return await asyncio.to_thread(self._wake_ups.publish, self.settings.account)

    async def page(
        self,
        state: State,
        wanted: Filter = _ANY,
        *,
        limit: int = 100,
        order: Order = "newest",
        place: Place | None = None,
        within: timedelta = _STEP,
    ) -> tuple[list[Message], Page]:
        """One page of the messages in a state, by when they came to it, and where the next one begins.

        Takes about as long as ``within`` at most; a page may then be short, though more follow. A message that left the
        state between two looks is left out. Delivered ones are listed as long as RETENTION keeps them.
        """
        page = await self._ledger.page(state, order, limit, place, wanted, within)
        found = await self.get_all(page.ids)
        return [message for message in found if message is not None and message.state == state], page

    async def get_all(self, local_ids: Sequence[str]) -> list[Message | None]:
        """What the ledger knows of each of these, in their order, in one round trip."""
        return await self._ledger.get(local_ids) if local_ids else []

    async def search(
        self,
        by: SearchBy,
        needle: str,
        *,
        limit: int = 100,
        place: SearchPlace | None = None,
        within: timedelta = _STEP,
    ) -> tuple[list[Message], Found]:
        """Look through the messages, some at a time: by the beginning of the local id, by the API's message id, or by
        visitor. There is no index for this: go on at the place that is handed back until there is none.

        By visitor, only what still has a record is found: a delivered message keeps no visitor, unless RETENTION does.
        """
        found = await self._ledger.search(by, needle, limit, place, within)
        return [message for message in await self.get_all(found.ids) if message is not None], found

    async def bulk(
        self,
        action: BulkAction,
        state: State,
        wanted: Filter = _ANY,
        *,
        dry_run: bool,
        limit: int = 1000,
        place: Place | None = None,
        within: timedelta = _STEP,
        by: str = "",
        why: str = "",
    ) -> BulkStep:
        """Do something to the messages of a state, one step at a time, newest first; go on until there is no place.

        A dry run changes nothing, and says how many messages and calls to the API it would be. A step may be repeated:
        what it was done to has left the state. Each step is one entry of the audit trail.
        """
        who = None if dry_run else By(by, why)
        step, wake = await self._ledger.bulk(action, state, wanted, limit, place, within, who)
        if wake:
            await self._publish()
        return step

    async def why(self, local_id: str, budget: Budget | None = None) -> tuple[Wait, ...]:
        """Why a message is not shown yet; see Messages.why."""
        message = await self.get(local_id)
        return waiting_for(message, await self.account(budget)) if message else ()

    async def account(self, budget: Budget | None = None) -> Account:
        """How the account stands; see Messages.account."""
        return await self._ledger.account(budget)

    async def retry(self, local_id: str, *, by: str = "", why: str = "") -> State:
        """Try a failed or expired message again. Like resend, resolve and discard, raises RefusedDecision.

        ``by`` and ``why`` say who does it and for what reason: the audit trail keeps them, the timeline the first.
        """
        return await self._decided(await self._ledger.decide("retry", local_id, by=By(by, why)))

    async def resend(self, local_id: str, *, by: str = "", why: str = "") -> State:
        """Send a held message once more, although it may be visible already."""
        return await self._decided(await self._ledger.decide("resend", local_id, by=By(by, why)))

    async def resolve(self, local_id: str, message_id: str, *, by: str = "", why: str = "") -> State:
        """Tell a held message the API's id of its copy; see Messages.resolve."""
        check_message_id(message_id)
        decided = await self._ledger.decide("resolve", local_id, {"message_id": message_id}, By(by, why))
        return await self._decided(decided)

    async def discard(self, local_id: str, *, by: str = "", why: str = "") -> State:
        """Drop what could not be done for a held, failed or expired message; the chat stays as it is."""
        return await self._decided(await self._ledger.decide("discard", local_id, by=By(by, why)))

    async def adopt(
        self, local_id: str, message_id: str, *, by: str = "", why: str = "", **known: Unpack[Known]
    ) -> State:
        """Take a message under the ledger that exists already at the API. What is not known may be left out."""
        found = Adoption(local_id, message_id, **known)
        return await self._decided(await self._ledger.adopt(found, By(by, why)))

    async def pause(
        self, duration: timedelta = timedelta(days=365), reason: str = "by hand", *, by: str = "", why: str = ""
    ) -> None:
        """Pause the whole account; see Messages.pause."""
        _check_pause(duration)
        await self._ledger.pause(duration, reason, By(by, why))

    async def resume(self, *, by: str = "", why: str = "") -> None:
        """End whatever pause stands."""
        await self._ledger.pause(None, "", By(by, why))
        await self._publish()

    async def keep_online(
        self,
        agent: Agent | str,
        *,
        until: datetime | None = None,
        for_: timedelta | None = None,
        by: str = "",
        why: str = "",
    ) -> Presence:
        """Let an agent (or agent id) look online, until a time or for so long; asking again changes the time.

        Workers ping the API for it once in PING_EVERY, with whatever calls messages leave over. Each ping is a call
        of the account's budget: at the default of one a minute, 60 an hour for each agent, of the 100 that the
        General tier allows for everything. The answer says so (``calls_per_hour``). Raises InvalidJob.
        """
        wanted = _agent(agent)
        _check_online(until, for_)
        await self._ledger.keep_online(wanted, until, for_, By(by, why))
        return _presence_of(wanted, await self._ledger.presences())

    async def go_offline(self, agent: Agent | str, *, by: str = "", why: str = "") -> bool:
        """Stop keeping an agent online; whether it was. The API shows it so for some minutes after its last ping."""
        return await self._ledger.go_offline(_agent(agent), By(by, why))

    async def presences(self) -> list[Presence]:
        """All agents that are kept online, and how they stand."""
        return await self._ledger.presences()

    async def audit(self, limit: int = 100, skip: int = 0) -> list[AuditEntry]:
        """What people did, newest first: the last 10,000 entries are kept."""
        return await self._ledger.audit(skip, limit)

    async def forget(self, local_id: str, *, by: str = "", why: str = "") -> bool:
        """Erase all that is stored of a message; see Messages.forget."""
        return await self._ledger.forget(local_id, By(by, why))

    async def _decided(self, decided: Decided) -> State:
        if decided.wake:
            await self._publish()
        return decided.state

    async def _one(self, job: Job) -> Receipt:
        results = await self._ledger.record([job])
        receipt = _receipt(results[0])
        await self._wake(results)
        return receipt

    async def _wake(self, results: list[RecordResult]) -> None:
        if _needs_wake_up(results):
            await self._publish()

    async def _publish(self) -> None:
        # kombu has no asyncio; a wake-up is rare, as only one is under way at a time.
        await asyncio.to_thread(self._wake_ups.publish, self.settings.account)

    async def close(self) -> None:
        """Close all connections."""
        await self._ledger.close()
        self._wake_ups.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

"""The face that shops see: record what a visitor shall see, and ask what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import Self, TypedDict, Unpack

from pushledger.errors import RefusedJob
from pushledger.jobs import Create, Delete, Job, Kind, Priority, Update, Upsert
from pushledger.ledger import AsyncLedger, Ledger, RecordResult
from pushledger.message import Message, Receipt, State, TimelineEvent
from pushledger.settings import Settings
from pushledger.wakeup import WakeUps

__all__ = ["AsyncMessages", "Messages", "Options"]


class Options(TypedDict, total=False):
    """Options of every job; docs/jobs.md explains them."""

    job_id: str
    priority: Priority
    not_before: datetime
    expires_at: datetime
    version: int | datetime
    max_resends: int


def _receipt(result: RecordResult) -> Receipt:
    if isinstance(result, RefusedJob):
        raise result
    return result.receipt


def _answers(results: Iterable[RecordResult]) -> list[Receipt | RefusedJob]:
    return [result if isinstance(result, RefusedJob) else result.receipt for result in results]


def _needs_wake_up(results: Iterable[RecordResult]) -> bool:
    return any(not isinstance(result, RefusedJob) and result.wake for result in results)


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
        ledger: Ledger | None = None,
        wake_ups: WakeUps | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._ledger = ledger or Ledger.from_url(
            self.settings.redis_url,
            self.settings.account,
            self.settings.policy(),
            self.settings.redis_timeout,
        )
        self._wake_ups = wake_ups or WakeUps(self.settings.broker_url)

    @classmethod
    def from_env(cls) -> Self:
        """Messages with settings from the environment (``PUSHLEDGER_…``)."""
        return cls(Settings())

    def create(
        self,
        local_id: str,
        *,
        visitor_id: str,
        text: str,
        agent_id: str | None = None,
        group_id: str | None = None,
        kind: Kind = "pushed",
        **options: Unpack[Options],
    ) -> Receipt:
        """Show a new message to a visitor, in the name of an agent or a group."""
        return self._one(Create(local_id, visitor_id, text, agent_id, group_id, kind, **options))

    def update(self, local_id: str, *, text: str, **options: Unpack[Options]) -> Receipt:
        """Change the text of a message in place."""
        return self._one(Update(local_id, text, **options))

    def upsert(
        self,
        local_id: str,
        *,
        visitor_id: str,
        text: str,
        agent_id: str | None = None,
        group_id: str | None = None,
        kind: Kind = "pushed",
        **options: Unpack[Options],
    ) -> Receipt:
        """Create the message, or change its text if it is there."""
        return self._one(Upsert(local_id, visitor_id, text, agent_id, group_id, kind, **options))

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
        ledger: AsyncLedger | None = None,
        wake_ups: WakeUps | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._ledger = ledger or AsyncLedger.from_url(
            self.settings.redis_url,
            self.settings.account,
            self.settings.policy(),
            self.settings.redis_timeout,
        )
        self._wake_ups = wake_ups or WakeUps(self.settings.broker_url)

    @classmethod
    def from_env(cls) -> Self:
        """Messages with settings from the environment (``PUSHLEDGER_…``)."""
        return cls(Settings())

    async def create(
        self,
        local_id: str,
        *,
        visitor_id: str,
        text: str,
        agent_id: str | None = None,
        group_id: str | None = None,
        kind: Kind = "pushed",
        **options: Unpack[Options],
    ) -> Receipt:
        """Show a new message to a visitor, in the name of an agent or a group."""
        return await self._one(Create(local_id, visitor_id, text, agent_id, group_id, kind, **options))

    async def update(self, local_id: str, *, text: str, **options: Unpack[Options]) -> Receipt:
        """Change the text of a message in place."""
        return await self._one(Update(local_id, text, **options))

    async def upsert(
        self,
        local_id: str,
        *,
        visitor_id: str,
        text: str,
        agent_id: str | None = None,
        group_id: str | None = None,
        kind: Kind = "pushed",
        **options: Unpack[Options],
    ) -> Receipt:
        """Create the message, or change its text if it is there."""
        return await self._one(Upsert(local_id, visitor_id, text, agent_id, group_id, kind, **options))

    async def delete(self, local_id: str, **options: Unpack[Options]) -> Receipt:
        """Take a message away."""
        return await self._one(Delete(local_id, **options))

    async def submit(self, jobs: Iterable[Job]) -> list[Receipt | RefusedJob]:
        """Record many jobs in few round trips; see Messages.submit."""
        results = await self._ledger.record(list(jobs))
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

    async def _one(self, job: Job) -> Receipt:
        results = await self._ledger.record([job])
        receipt = _receipt(results[0])
        await self._wake(results)
        return receipt

    async def _wake(self, results: list[RecordResult]) -> None:
        # kombu has no asyncio; a wake-up is rare, as only one is under way at a time.
        if _needs_wake_up(results):
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

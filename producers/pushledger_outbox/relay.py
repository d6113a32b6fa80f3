"""The relay: takes rows from the shop's database, and hands their jobs to the ledger.

Each step may be cut off between any two lines, and any number of relays may run:

1. Take: the oldest row of each message, for a lease. No other row of a message moves while its oldest waits, so that
   whatever is handed over twice is the newest that the outbox ever handed over for it.
2. Look: the message's revision in the ledger, and by it whether the row may go (decisions.py).
3. Note that revision in the row.
4. Submit, unless the lease is nearly over: then another relay may have it already.
5. Settle: delete what is recorded, keep what was refused with its error.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pushledger.errors import BacklogFull, InvalidJob, LedgerUnavailable, RefusedJob
from pushledger.jobs import Job
from pushledger.message import Message, Receipt
from pushledger.messages import Messages

from pushledger_outbox.decisions import UNSURE, decide, wait_after
from pushledger_outbox.rows import Row, milliseconds
from pushledger_outbox.settings import OutboxSettings
from pushledger_outbox.store import Store, StoreUnavailable

__all__ = ["Relay", "Step"]

log = logging.getLogger(__name__)

_FULL_WAIT = timedelta(seconds=10)
_PRUNE_EVERY = 600.0


def _seconds() -> float:
    # Goes on while the machine sleeps, where the system has such a clock: a lease does not sleep either.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class Step:
    """What came of one step: rows taken, and which of them are done, were refused, or wait again."""

    taken: int = 0
    done: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    waits: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)


class Relay:
    """Works an account's outbox off. Not for several threads; start several relays instead."""

    def __init__(
        self,
        store: Store,
        messages: Messages,
        settings: OutboxSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = _seconds,
    ) -> None:
        self._store, self._messages, self._settings = store, messages, settings
        self._clock, self._seconds = clock, seconds
        self._remembered = min(settings.tombstone_for, settings.keep_failed_for)
        self._token = ""

    def run(self, stop: threading.Event) -> None:
        """Work until asked to stop; while database or ledger are away, wait for them, longer each time."""
        failures, pruned = 0, -_PRUNE_EVERY
        while not stop.is_set():
            try:
                if self._seconds() - pruned >= _PRUNE_EVERY:
                    self._prune()
                    pruned = self._seconds()
                idle = not self.step().taken
            except (LedgerUnavailable, StoreUnavailable) as error:
                failures += 1
                wait = wait_after(failures)
                log.warning("waits %s s: %s", wait.total_seconds(), error, extra={"action": "outbox_waits"})
                self._release(self._clock())
                stop.wait(wait.total_seconds())
                continue
            failures = 0
            if idle:
                stop.wait(self._settings.outbox_every.total_seconds())

    def step(self) -> Step:
        """Take what is free and hand it over, once. Raises LedgerUnavailable and StoreUnavailable."""
        began, now = self._seconds(), self._clock()
        self._token = secrets.token_hex(16)
        lease = self._settings.outbox_lease
        until = milliseconds(now + lease)
        rows = self._store.take(self._token, milliseconds(now), until, self._settings.outbox_batch)
        step = Step(taken=len(rows))
        if rows:
            chosen = self._chosen(rows, step, now)
            held = self._hand_over(chosen)
            going = [(row, job) for row, job, _ in chosen if row.id in held]
            # Half the lease is left for the ledger's answer: whoever comes later leaves the rows to another relay.
            if self._seconds() - began < lease.total_seconds() / 2:
                self._submit(going, step)
            self._store.settle(self._token, step.done, step.refused, milliseconds(self._clock()))
            self._release(self._clock() + _FULL_WAIT if step.waits else self._clock())
            log.debug("step: %s", dict(step.outcomes), extra={"action": "outbox_step"})
        return step

    def _chosen(self, rows: list[Row], step: Step, now: datetime) -> list[tuple[Row, Job, int]]:
        """The rows that shall be handed over, each with its job and the message's revision; the others are settled."""
        chosen, known = list[tuple[Row, Job, int]](), self._known(rows)
        for row in rows:
            try:
                job = row.to_job()
            except InvalidJob as error:
                self._refuse(row, str(error), step)
                continue
            message = known[row.local_id]
            age = timedelta(milliseconds=milliseconds(now) - (row.handed_at or row.added_at))
            decision = decide(row, job, message, age, self._remembered)
            if decision == "submit":
                chosen.append((row, job, message.revision if message else 0))
            elif decision == "settled":
                step.done.append(row.id)
                step.outcomes["settled"] += 1
            else:
                self._refuse(row, UNSURE, step)
        return chosen

    def _known(self, rows: list[Row]) -> dict[str, Message | None]:
        local_ids = [row.local_id for row in rows]
        return dict(zip(local_ids, self._messages.get_all(local_ids), strict=True))

    def _hand_over(self, chosen: list[tuple[Row, Job, int]]) -> set[int]:
        revisions = {row.id: revision for row, _, revision in chosen}
        return self._store.hand_over(self._token, revisions, milliseconds(self._clock())) if revisions else set()

    def _submit(self, going: list[tuple[Row, Job]], step: Step) -> None:
        answers = self._messages.submit([job for _, job in going]) if going else []
        for (row, _), answer in zip(going, answers, strict=True):
            match answer:
                case Receipt():
                    step.done.append(row.id)
                    step.outcomes[answer.outcome] += 1
                case BacklogFull():
                    step.waits = True
                    step.outcomes["backlog_full"] += 1
                case RefusedJob():
                    self._refuse(row, str(answer), step)

    def _refuse(self, row: Row, error: str, step: Step) -> None:
        # It may quote what no database can keep: a lone surrogate, a NUL.
        error = error.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")
        step.refused[row.id] = error
        step.outcomes["refused"] += 1
        log.warning(
            "row %d of %s is refused: %s", row.id, row.local_id, error,
            extra={"action": "outbox_refused", "local_id": row.local_id},
        )  # fmt: skip

    def _release(self, free_at: datetime) -> None:
        try:
            self._store.release(self._token, milliseconds(free_at))
        except StoreUnavailable:
            log.debug("rows stay taken until their lease is over", extra={"action": "outbox_not_released"})

    def _prune(self) -> None:
        pruned = self._store.prune(milliseconds(self._clock() - self._settings.outbox_keep_refused))
        if pruned:
            log.warning("%d refused rows were too old to keep", pruned, extra={"action": "outbox_pruned"})

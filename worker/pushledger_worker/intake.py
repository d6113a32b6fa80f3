"""The intake: jobs that other Celery apps enqueue by name. The promises begin when a job is recorded here.

A job is never lost between broker and ledger: its message is acknowledged after it is recorded, refused (and kept,
visible as ``refused``) or parked. A job's id is its task's id, so a message that arrives twice is recorded once.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.exceptions import Reject
from pushledger.errors import InvalidJob, LedgerUnavailable, PushledgerError, RefusedJob, UnknownLocalId
from pushledger.jobs import Job, job_from_json
from pushledger.ledger import Accounts, Ledger, LedgerPolicy, Recorded

__all__ = ["AccountLedgers", "Intake"]

log = logging.getLogger(__name__)

LEDGER_POLL = 1.0
_FIELDS_SHOWN = 40


class AccountLedgers:
    """The ledgers that jobs go to. A job that names no account goes to ``home``, and so does one that is refused for
    the account that it names: there it is visible."""

    def __init__(
        self, accounts: Accounts, home: str, policy: LedgerPolicy, served: Callable[[], Collection[str]]
    ) -> None:
        self.home = home
        self._policy = policy
        self._accounts = accounts
        self._served = served
        self._ledgers: dict[str, Ledger] = {}

    def of(self, name: str) -> Ledger:
        """The ledger of an account."""
        if name not in self._ledgers:
            self._ledgers[name] = self._accounts.ledger(name, self._policy)
        return self._ledgers[name]

    def for_job(self, name: object) -> tuple[str, Ledger]:
        """The account and the ledger of a job that names it so; None: it names none. Raises InvalidJob."""
        account = self.home if name is None else name
        if not isinstance(account, str) or account not in self._served():
            raise InvalidJob(
                "account", "must be one that this worker serves: that of PUSHLEDGER_ACCOUNT or ACCOUNTS_DIR"
            )
        return account, self.of(account)


class Intake:
    """Takes jobs from the queue into the ledgers."""

    def __init__(
        self,
        ledgers: AccountLedgers,
        wake: Callable[[str], object],
        stopping: Callable[[], bool],
        wait_for_create: timedelta,
    ) -> None:
        self._ledgers = ledgers
        self._wake = wake
        self._stopping = stopping
        self._wait_for_create = wait_for_create.total_seconds()

    def take(self, verb: str, task_id: str, values: dict[str, Any], arguments: tuple[object, ...] = ()) -> None:
        """Record one job, or keep it as refused; wait as long as the ledger is away.

        Positional ``arguments`` are refused, as nobody can know what they are meant to be.

        Raises celery.exceptions.Reject (requeue) when the worker stops while the ledger is away.
        """
        while True:
            try:
                if arguments:
                    self.refuse(verb, task_id, values, InvalidJob("args", "must be empty; give each value by its name"))
                else:
                    self._record_or_keep(verb, task_id, values, parked_at=None)
                return
            except LedgerUnavailable as error:
                log.warning("the intake waits for the ledger: %s", error, extra={"action": "intake_waits"})
                if self._stopping():
                    raise Reject(error, requeue=True) from error
                time.sleep(LEDGER_POLL)

    def take_parked(self, account: str) -> None:
        """Try an account's parked jobs again; those whose create did not come in time are refused."""
        for task_id, document in self._ledgers.of(account).parked().items():
            parked = json.loads(document)
            self._record_or_keep(parked["verb"], task_id, parked["values"], parked["at"])

    def _record_or_keep(self, verb: str, task_id: str, values: dict[str, Any], parked_at: float | None) -> None:
        try:
            account, ledger = self._ledgers.for_job(values.get("account"))
        except InvalidJob as error:
            return self.refuse(verb, task_id, values, error)
        try:
            fields = {name: value for name, value in values.items() if name != "account"}
            self._record(account, ledger, job_from_json(verb, {"job_id": task_id, **fields}))
        except UnknownLocalId as error:
            if parked_at is None and "version" in values:
                parked = {"verb": verb, "values": values, "at": time.time()}
                ledger.park(task_id, json.dumps(parked, ensure_ascii=False))
                return None
            if parked_at is not None and time.time() < parked_at + self._wait_for_create:
                return None
            self.refuse(verb, task_id, values, error)
        except (InvalidJob, RefusedJob) as error:
            self.refuse(verb, task_id, values, error)
        if parked_at is not None:
            ledger.unpark(task_id)
        return None

    def _record(self, account: str, ledger: Ledger, job: Job) -> None:
        result = ledger.record([job])[0]
        if not isinstance(result, Recorded):
            raise result
        if result.wake:
            self._wake(account)

    def refuse(self, verb: str, task_id: str, values: dict[str, Any], error: PushledgerError) -> None:
        """Keep a job as refused: what it was and what is wrong with it, without its text and visitor."""
        # Bad input may hold half of a surrogate pair, which neither a store nor a log takes.
        local_id = str(values.get("local_id", "")).encode(errors="replace").decode()
        document = {
            "task_id": task_id,
            "verb": verb,
            "local_id": local_id,
            "fields": sorted(str(name) for name in values)[:_FIELDS_SHOWN],
            "error": type(error).__name__,
            "field": getattr(error, "field", None),
            "rule": getattr(error, "rule", None),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        text = json.dumps(document, ensure_ascii=False).encode(errors="replace").decode()
        self._ledger_to_refuse_in(values).refuse(text)
        log.warning(
            "refused %s of %s: %s",
            verb,
            local_id,
            type(error).__name__,
            extra={"action": "job_refused", "local_id": local_id, "task_id": task_id},
        )

    def _ledger_to_refuse_in(self, values: dict[str, Any]) -> Ledger:
        try:
            return self._ledgers.for_job(values.get("account"))[1]
        except InvalidJob:
            return self._ledgers.of(self._ledgers.home)

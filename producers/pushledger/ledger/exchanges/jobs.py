"""Exchanges that change one message: a shop's jobs, and a person's decisions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Literal, TypeAlias, cast

from pushledger.errors import (
    AlreadyExists,
    BacklogFull,
    Gone,
    OutcomeUnknown,
    RefusedDecision,
    RefusedJob,
    TargetChanged,
    UnknownLocalId,
)
from pushledger.jobs import Adoption, Create, Delete, Job, Update, Upsert, version_number
from pushledger.ledger.audit import NOBODY, By, audit_document
from pushledger.ledger.belief import Belief, Repairable
from pushledger.ledger.digests import digest
from pushledger.ledger.exchange import Argument, Command, Exchange, Reply, ScriptCall
from pushledger.ledger.exchanges.of_account import AT_ONCE, AccountExchange, named
from pushledger.ledger.exchanges.replies import items
from pushledger.ledger.pages import BulkAction
from pushledger.ledger.policy import milliseconds
from pushledger.message import Outcome, Receipt, State

__all__ = ["Decided", "Decision", "DecisionResult", "JobExchanges", "RecordResult", "Recorded"]

_REFUSALS: dict[str, type[RefusedJob]] = {
    "unknown_local_id": UnknownLocalId,
    "already_exists": AlreadyExists,
    "target_changed": TargetChanged,
    "outcome_unknown": OutcomeUnknown,
    "gone": Gone,
    "backlog_full": BacklogFull,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded job: its receipt, and whether the recorder shall publish a wake-up."""

    receipt: Receipt
    wake: bool


RecordResult = Recorded | RefusedJob
_Operation: TypeAlias = "tuple[str, str, Mapping[str, Argument]]"
Decision = Literal["retry", "resend", "resolve", "discard", "adopt", "repair"]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that was carried out: the state it brought, and whether to publish a wake-up."""

    state: State
    wake: bool


DecisionResult = Decided | RefusedDecision | RefusedJob


class JobExchanges(AccountExchange):
    """Record jobs, carry out decisions."""

    __slots__ = ()

    def digest_key(self, made: str) -> Exchange[bytes]:
        """The account's digest key; ``made`` becomes it if there is none yet."""
        key = self.keys.digest_key
        commands = (Command(("SET", key, made, "NX")), Command(("GET", key)))
        return Exchange(commands, lambda replies: bytes.fromhex(str(replies[1])))

    def record(
        self, jobs: Sequence[tuple[str, str, Job]], digest_key: bytes, by: By = NOBODY, audited: bool = False
    ) -> Exchange[list[RecordResult]]:
        """Record jobs, each with its job id and the life it would begin; ``audited`` ones are in the audit trail."""
        operations = [
            (
                job.local_id,
                job_id,
                {**_job_fields(job, life, digest_key), **_by_fields(job.verb, job.local_id, by, audited)},
            )
            for job_id, life, job in jobs
        ]

        def read(replies: Sequence[Reply]) -> list[RecordResult]:
            return [_recorded(job.local_id, reply) for (_, _, job), reply in zip(jobs, _flat(replies), strict=True)]

        return self.synced(Exchange(self._operations("record", operations), read))

    def decide(
        self, verb: Decision, local_id: str, decision_id: str, fields: Mapping[str, Argument], by: By = NOBODY
    ) -> Exchange[DecisionResult]:
        """Carry out a person's decision on one message."""
        operation = (local_id, decision_id, {**fields, **_by_fields(verb, local_id, by)})
        calls = self._operations(verb, [operation])
        return self.synced(Exchange(calls, lambda replies: _decided(verb, local_id, _flat(replies)[0])))

    def act(
        self, action: BulkAction, targets: Sequence[tuple[str, str]], by: By, details: dict[str, str]
    ) -> Exchange[list[DecisionResult | RecordResult]]:
        """Do one thing to many messages, each with an id of its own for that; the audit trail has one entry for all."""
        document = audit_document(action, by, messages=len(targets), details=details)
        operations = [(local_id, job_id, _action_fields(action, local_id, by)) for local_id, job_id in targets]
        calls = self._operations("record" if action == "delete" else action, operations)
        answer = _recorded if action == "delete" else partial(_decided, action)

        def read(replies: Sequence[Reply]) -> list[DecisionResult | RecordResult]:
            return [answer(local_id, reply) for (local_id, _), reply in zip(targets, _flat(replies[1:]), strict=True)]

        return self.synced(Exchange((self.call("note", "bulk", document), *calls), read))

    def _operations(self, verb: str, operations: Sequence[_Operation]) -> tuple[ScriptCall, ...]:
        """Many in a run: it costs the server less than half. Not too many: everyone else waits for its end."""
        policy = self.policy.arguments()
        head = (milliseconds(self.policy.wake_for), milliseconds(self.policy.jobs_for), len(policy), *policy)
        return tuple(
            self.call(verb, *head, *chain.from_iterable(map(_arguments, operations[start : start + AT_ONCE])))
            for start in range(0, len(operations), AT_ONCE)
        )

    def adopt_fields(self, found: Adoption, key: bytes) -> dict[str, Argument]:
        """The fields under which a message that exists already is taken in; '' for what is not known."""
        target = found.target()
        return {
            "message_id": found.message_id,
            "kind": found.kind,
            "life": secrets.token_hex(6),
            "target_digest": digest(key, f"{found.kind} {target}") if target else "",
            "lane": digest(key, found.visitor_id) if found.visitor_id else "",
            "text_digest": digest(key, found.text) if found.text else "",
            "version": version_number(found.version),
        }

    def repair_fields(self, belief: Belief, finding: Repairable, seen_digest: str) -> dict[str, Argument]:
        """The fields under which a message is brought back to what it should show."""
        return {
            "finding": finding,
            "message_id": belief.message_id,
            "revision": belief.revision,
            "seen_digest": seen_digest,
            "life": secrets.token_hex(6),
        }

    def forget(self, local_id: str, by: By = NOBODY) -> Exchange[bool]:
        """Erase what is stored of a message."""
        call = self.call("forget", local_id, audit_document("forget", by, local_id), *self.policy.arguments())
        return Exchange((call,), lambda replies: bool(replies[0]))


def _action_fields(action: BulkAction, local_id: str, by: By) -> dict[str, Argument]:
    if action == "delete":
        return {**_job_fields(Delete(local_id), "", b""), **_by_fields(action, local_id, by, audited=False)}
    return _by_fields(action, local_id, by, audited=False)


def _arguments(operation: _Operation) -> tuple[Argument, ...]:
    local_id, job_id, fields = operation
    return (local_id, job_id, *named(fields))


def _flat(replies: Sequence[Reply]) -> list[Reply]:
    return list(chain.from_iterable(map(items, replies)))


def _by_fields(verb: str, local_id: str, by: By, audited: bool = True) -> dict[str, Argument]:
    fields: dict[str, Argument] = {"by": by.name} if by.name else {}
    # A file of adoptions, by nobody in particular, would push everything else out of the trail.
    audited = audited and (verb != "adopt" or bool(by.name))
    return {**fields, "audit": audit_document(verb, by, local_id)} if audited else fields


def _job_fields(job: Job, life: str, digest_key: bytes) -> dict[str, Argument]:
    values: dict[str, Argument] = {
        "verb": job.verb,
        "life": life,
        "priority": job.priority,
        "not_before": "" if job.not_before is None else round(job.not_before.timestamp() * 1000),
        "expires_at": "" if job.expires_at is None else round(job.expires_at.timestamp() * 1000),
        "version": version_number(job.version),
        "max_resends": "" if job.max_resends is None else job.max_resends,
        "kind": "",
        "target": "",
        "target_digest": "",
        "lane": "",
        "text": "",
        "text_digest": "",
    }
    match job:
        case Create() | Upsert():
            target = job.target()
            values |= {
                "kind": job.kind,
                "target": target,
                "target_digest": digest(digest_key, f"{job.kind} {target}"),
                "lane": digest(digest_key, job.visitor_id),
            }
        case Update() | Delete():
            pass
    if not isinstance(job, Delete):
        values |= {"text": job.text, "text_digest": digest(digest_key, job.text)}
    return values


def _recorded(local_id: str, reply: Reply) -> RecordResult:
    outcome, detail, wake = cast("tuple[str, str, int]", reply)
    if outcome == "refused":
        return _REFUSALS[detail](local_id)
    return Recorded(Receipt(local_id, int(detail), cast(Outcome, outcome)), bool(wake))


def _decided(verb: Decision, local_id: str, reply: Reply) -> DecisionResult:
    state, detail, wake = cast("tuple[str, str, int]", reply)
    if state != "refused":
        return Decided(cast(State, state), bool(wake))
    if detail in _REFUSALS:
        return _REFUSALS[detail](local_id)
    return RefusedDecision(local_id, verb, detail)

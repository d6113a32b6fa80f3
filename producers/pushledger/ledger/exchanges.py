"""Every exchange of the ledger: what is sent for each method, and how the replies are read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Literal, TypeVar, cast

from pushledger.errors import (
    AlreadyExists,
    BacklogFull,
    Gone,
    LedgerUnavailable,
    OutcomeUnknown,
    RefusedDecision,
    RefusedJob,
    TargetChanged,
    UnknownLocalId,
)
from pushledger.jobs import Create, Delete, Job, Kind, Update, Upsert, target_json, version_number
from pushledger.ledger.account import Account, read_account
from pushledger.ledger.deliveries import Budget, Claim, Claimed, Settled, Settlement
from pushledger.ledger.digests import digest
from pushledger.ledger.exchange import Argument, Command, Exchange, Reply, ScriptCall
from pushledger.ledger.keys import PRIORITIES, Keys
from pushledger.ledger.policy import LedgerPolicy, milliseconds
from pushledger.ledger.scripts import Script, script
from pushledger.ledger.server import SERVER_SETTINGS
from pushledger.message import (
    Message,
    Outcome,
    Receipt,
    State,
    TimelineEvent,
    error_to_json,
    message_from_entry,
    message_from_record,
    timeline_event,
)

__all__ = ["Decided", "Decision", "DecisionResult", "Exchanges", "RecordResult", "Recorded"]

T = TypeVar("T")
FSYNC_TIMEOUT = timedelta(seconds=2)

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
Decision = Literal["retry", "resend", "resolve", "discard", "adopt"]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that was carried out: the state it brought, and whether to publish a wake-up."""

    state: State
    wake: bool


DecisionResult = Decided | RefusedDecision | RefusedJob


@dataclass(frozen=True, slots=True)
class Exchanges:
    """Builds the exchanges of one account. ``now`` (ms) and ``script`` stand in for clock and scripts, for tests."""

    keys: Keys
    policy: LedgerPolicy
    now: int | None = None
    script: Callable[[str], Script] = script

    def digest_key(self, made: str) -> Exchange[bytes]:
        """The account's digest key; ``made`` becomes it if there is none yet."""
        key = self.keys.digest_key
        commands = (Command(("SET", key, made, "NX")), Command(("GET", key)))
        return Exchange(commands, lambda replies: bytes.fromhex(str(replies[1])))

    def record(self, jobs: Sequence[tuple[str, str, Job]], digest_key: bytes) -> Exchange[list[RecordResult]]:
        """Record jobs, each with its job id and the life it would begin."""
        calls = tuple(self._record_call(job_id, life, job, digest_key) for job_id, life, job in jobs)

        def read(replies: Sequence[Reply]) -> list[RecordResult]:
            return [_recorded(job.local_id, reply) for (_, _, job), reply in zip(jobs, replies, strict=True)]

        return self._synced(Exchange(calls, read))

    def _synced(self, exchange: Exchange[T]) -> Exchange[T]:
        """The same, answered only when the server has synced its append-only file, if the policy asks for that."""
        if not self.policy.fsync:
            return exchange
        wait = Command(("WAITAOF", 1, 0, milliseconds(FSYNC_TIMEOUT)))

        def read(replies: Sequence[Reply]) -> T:
            if not _items(replies[-1])[0]:
                raise LedgerUnavailable("recorded, but not synced to disk in time; repeat it with the same job_id")
            return exchange.read(replies[:-1])

        return Exchange((*exchange.commands, wait), read)

    def _record_call(self, job_id: str, life: str, job: Job, digest_key: bytes) -> ScriptCall:
        return self._operation("record", job.local_id, job_id, _job_fields(job, life, digest_key))

    def decide(
        self, verb: Decision, local_id: str, decision_id: str, fields: Mapping[str, Argument]
    ) -> Exchange[DecisionResult]:
        """Carry out a person's decision on one message."""
        call = self._operation(verb, local_id, decision_id, fields)
        return self._synced(Exchange((call,), lambda replies: _decided(verb, local_id, replies[0])))

    def _operation(self, verb: str, local_id: str, job_id: str, fields: Mapping[str, Argument]) -> ScriptCall:
        return self._call(
            verb,
            local_id,
            job_id,
            milliseconds(self.policy.wake_for),
            milliseconds(self.policy.jobs_for),
            2 * len(fields),
            *chain.from_iterable(fields.items()),
            *self.policy.arguments(),
        )

    def claim(self, claim_id: str, wanted: int, lease: timedelta, budget: Budget) -> Exchange[Claim]:
        """Take up to ``wanted`` messages for delivery."""
        call = self._claim_call(claim_id, wanted, lease, budget)
        return self._synced(Exchange((call,), lambda replies: _claim(replies[0])))

    def _claim_call(self, claim_id: str, wanted: int, lease: timedelta, budget: Budget) -> ScriptCall:
        return self._call(
            "claim", claim_id, wanted, milliseconds(lease), budget.render(), budget.high_share, *self.policy.arguments()
        )

    def settle(self, settlements: Sequence[tuple[Claimed, Settlement]], budget: Budget) -> Exchange[list[Settled]]:
        """Hand back what came of calls."""
        calls = tuple(self._settle_call(claimed, settlement, budget) for claimed, settlement in settlements)
        return Exchange(calls, lambda replies: [_settled(reply) for reply in replies])

    def settle_and_claim(
        self,
        settlements: Sequence[tuple[Claimed, Settlement]],
        claim_id: str,
        wanted: int,
        lease: timedelta,
        budget: Budget,
    ) -> Exchange[tuple[list[Settled], Claim]]:
        """Hand back what came of calls and take more messages, in one round trip."""
        settles = self.settle(settlements, budget)
        commands = (*settles.commands, self._claim_call(claim_id, wanted, lease, budget))
        return self._synced(Exchange(commands, lambda replies: (settles.read(replies[:-1]), _claim(replies[-1]))))

    def _settle_call(self, claimed: Claimed, settlement: Settlement, budget: Budget) -> ScriptCall:
        values = _settlement_fields(claimed, settlement)
        return self._call(
            "settle",
            claimed.local_id,
            claimed.token,
            budget.render(),
            2 * len(values),
            *chain.from_iterable(values.items()),
            *self.policy.arguments(),
        )

    def wake(self, asker: str, budget: Budget) -> Exchange[tuple[bool, timedelta | None]]:
        """Ask whether to send a wake-up now, and when there will be something to claim."""
        call = self._call("wake", budget.render(), budget.high_share, milliseconds(self.policy.wake_for), asker)

        def read(replies: Sequence[Reply]) -> tuple[bool, timedelta | None]:
            wake, next_in = cast("tuple[int, int]", replies[0])
            return bool(wake), _next_in(next_in)

        return Exchange((call,), read)

    def clear_wake(self) -> Exchange[None]:
        """Say that a delivery has begun, so that the next record sends a wake-up again."""
        return Exchange((Command(("DEL", self.keys.wake)),), lambda _: None)

    def adopt_fields(
        self, message_id: str, visitor_id: str, agent_id: str, group_id: str, text: str, version: str, key: bytes
    ) -> dict[str, Argument]:
        """The fields under which a message that exists already is taken in; '' for what is not known."""
        target = ""
        if visitor_id and (agent_id or group_id):
            target = target_json(visitor_id, agent_id or None, group_id or None)
        return {
            "message_id": message_id,
            "kind": "pushed",
            "life": secrets.token_hex(6),
            "target_digest": digest(key, f"pushed {target}") if target else "",
            "lane": digest(key, visitor_id) if visitor_id else "",
            "text_digest": digest(key, text) if text else "",
            "version": version,
        }

    def pause(self, duration: timedelta | None, reason: str) -> Exchange[None]:
        """Pause the account for so long, or resume it (None)."""
        wait = "" if duration is None else milliseconds(duration)
        return Exchange((self._call("pause", wait, reason),), lambda _: None)

    def forget(self, local_id: str) -> Exchange[bool]:
        """Erase what is stored of a message."""
        return Exchange((self._call("forget", local_id, *self.policy.arguments()),), lambda replies: bool(replies[0]))

    def records_page(self, cursor: int) -> Exchange[tuple[int, list[str]]]:
        """Some of the ids that have a record, and where to go on; 0 when all were seen."""
        prefix = self.keys.message("")
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in prefix) + "*"
        command = Command(("SCAN", cursor, "MATCH", pattern, "COUNT", 500))

        def read(replies: Sequence[Reply]) -> tuple[int, list[str]]:
            following, keys = cast("tuple[str, list[str]]", replies[0])
            return int(following), [key.removeprefix(prefix) for key in keys]

        return Exchange((command,), read)

    def lanes(self, local_ids: Sequence[str]) -> Exchange[list[str]]:
        """The visitor's digest in each record; '' for none."""
        commands = tuple(Command(("HGET", self.keys.message(i), "lane")) for i in local_ids)
        return Exchange(commands, lambda replies: [str(reply or "") for reply in replies])

    def entries_page(self, cursor: int) -> Exchange[tuple[int, dict[str, str]]]:
        """Some entries of the map, and where to go on; 0 when all were seen. Workers may go on meanwhile."""
        command = Command(("HSCAN", self.keys.map, cursor, "COUNT", 500))

        def read(replies: Sequence[Reply]) -> tuple[int, dict[str, str]]:
            following, flat = cast("tuple[str, Reply]", replies[0])
            return int(following), _pairs(flat)

        return Exchange((command,), read)

    def restore(self, entries: Sequence[tuple[str, str]]) -> Exchange[list[bool]]:
        """Put exported entries back into the map; False for those that the ledger knows already."""
        calls = tuple(ScriptCall(self.script("restore"), self.keys.prefix, entry) for entry in entries)
        return Exchange(calls, lambda replies: [bool(reply) for reply in replies])

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
            scores = [_scores(reply) for reply in replies[9:]]
            firsts = [score for reply in replies[3:6] for score in _scores(reply)]
            return read_account(
                now, _pairs(replies[1]), _pairs(replies[2]), firsts, sum(map(_whole, replies[6:9])), scores, budget
            )

        return Exchange(commands, read)

    def get(self, local_ids: Sequence[str]) -> Exchange[list[Message | None]]:
        """What the ledger knows of each id."""
        reads = ((("HGETALL", self.keys.message(i)), ("HGET", self.keys.map, i)) for i in local_ids)
        commands = tuple(Command(parts) for parts in chain.from_iterable(reads))

        def read(replies: Sequence[Reply]) -> list[Message | None]:
            return [_message(i, replies[2 * n], replies[2 * n + 1]) for n, i in enumerate(local_ids)]

        return Exchange(commands, read)

    def timeline(self, local_id: str) -> Exchange[list[TimelineEvent]]:
        """What happened to a message, oldest first."""
        command = Command(("LRANGE", self.keys.timeline(local_id), 0, -1))
        return Exchange((command,), lambda replies: [timeline_event(str(line)) for line in _items(replies[0])])

    def ids(self, state: State, limit: int) -> Exchange[list[str]]:
        """Ids of messages in a state: waiting ones by when they are due, others newest first."""
        if state == "queued":
            # Retrying messages stand in the due sets too: read enough to leave `limit` after taking them out.
            due = tuple(Command(("ZRANGE", self.keys.due(p), 0, 2 * limit)) for p in PRIORITIES)
            retrying = Command(("ZRANGE", self.keys.state("retrying"), 0, -1))

            def read(replies: Sequence[Reply]) -> list[str]:
                others = set(_items(replies[-1]))
                waiting = chain.from_iterable(_items(reply) for reply in replies[:-1])
                return [str(i) for i in waiting if i not in others][:limit]

            return Exchange((*due, retrying), read)
        key = self.keys.leases if state == "sending" else self.keys.state(state)
        command = Command(("ZREVRANGE", key, 0, limit - 1))
        return Exchange((command,), lambda replies: [str(i) for i in _items(replies[0])])

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

    def server_config(self) -> Exchange[dict[str, str]]:
        """The server's settings that decide what it keeps; some servers refuse to tell them."""
        commands = tuple(Command(("CONFIG", "GET", name)) for name in SERVER_SETTINGS)
        return Exchange(commands, lambda replies: {k: v for reply in replies for k, v in _pairs(reply).items()})

    def stats(self) -> Exchange[dict[str, int]]:
        """The account's counters since its first day."""
        command = Command(("HGETALL", self.keys.stats))
        return Exchange((command,), lambda replies: {k: int(v) for k, v in _pairs(replies[0]).items()})

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
        return Exchange((command,), lambda replies: [str(document) for document in _items(replies[0])])

    def park(self, task_id: str, document: str) -> Exchange[None]:
        """Keep an intake job that waits for its create; parking it again changes nothing."""
        return Exchange((Command(("HSETNX", self.keys.parked, task_id, document)),), lambda _: None)

    def parked(self) -> Exchange[dict[str, str]]:
        """The parked jobs' documents by task id."""
        return Exchange((Command(("HGETALL", self.keys.parked)),), lambda replies: _pairs(replies[0]))

    def parked_count(self) -> Exchange[int]:
        """How many intake jobs wait for their create."""
        return Exchange((Command(("HLEN", self.keys.parked)),), lambda replies: int(cast(int, replies[0])))

    def unpark(self, task_id: str) -> Exchange[None]:
        """Drop a parked job, once it is recorded or refused."""
        return Exchange((Command(("HDEL", self.keys.parked, task_id)),), lambda _: None)

    def _call(self, verb: str, *arguments: Argument) -> ScriptCall:
        now = "" if self.now is None else self.now
        return ScriptCall(self.script(verb), self.keys.prefix, (now, *arguments))


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


def _settlement_fields(claimed: Claimed, settlement: Settlement) -> dict[str, Argument]:
    pause, heard = settlement.pause, settlement.heard
    return {
        "kind": settlement.kind,
        "message_id": settlement.message_id,
        "call_kind": claimed.kind,
        "status": "" if settlement.status is None else settlement.status,
        "error": "" if settlement.error is None else error_to_json(settlement.error),
        "summary": _summary(settlement),
        "retry_in": milliseconds(settlement.retry_in),
        "attempt": int(settlement.counts),
        "give_up": int(settlement.give_up),
        "pause_for": "" if pause is None else milliseconds(pause.duration),
        "pause_reason": "" if pause is None else pause.reason,
        "trouble": "" if pause is None else int(pause.trouble),
        "pause_after": "" if pause is None else pause.after,
        "remaining": "" if heard is None else heard.remaining,
        "reset_in": "" if heard is None else milliseconds(heard.reset_in),
    }


def _summary(settlement: Settlement) -> str:
    # The API's own words may quote the text or the visitor: they stay in the record and out of the timeline.
    error = settlement.error
    if error is None:
        return ""
    return " ".join(str(part) for part in (error.phase, error.status) if part is not None)


def _recorded(local_id: str, reply: Reply) -> RecordResult:
    outcome, detail, wake = cast("tuple[str, str, int]", reply)
    if outcome == "refused":
        return _REFUSALS[detail](local_id)
    return Recorded(Receipt(local_id, int(detail), cast(Outcome, outcome)), bool(wake))


def _claim(reply: Reply) -> Claim:
    next_in, strikes, now, *rows = cast("list[int | list[str]]", reply)
    messages = tuple(_claimed(cast("list[str]", row), int(cast(int, now))) for row in rows)
    return Claim(messages, _next_in(cast(int, next_in)), int(cast(int, strikes)))


def _claimed(row: list[str], now: int) -> Claimed:
    local_id, token, *flat = row
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    doomed = (entry.split(" ", 1) for entry in fields["doomed"].split("\n") if entry)
    return Claimed(
        local_id=local_id,
        token=token,
        kind=cast(Kind, fields["kind"]),
        wish=cast(Literal["show", "gone", "probe"], fields["wish"]),
        text=fields["text"],
        text_digest=fields["text_digest"],
        target=fields["target"],
        message_id=fields["message_id"],
        shown_digest=fields["shown_digest"],
        doomed=tuple((cast(Kind, kind), message_id) for kind, message_id in doomed),
        revision=int(fields["revision"] or 0),
        attempts=int(fields["attempts"] or 0),
        failing_for=_since(fields["failing_since"], now),
        waiting_for=_since(fields["waiting_since"], now),
    )


def _since(then: str, now: int) -> timedelta:
    return timedelta(milliseconds=max(0, now - int(then))) if then else timedelta(0)


def _decided(verb: Decision, local_id: str, reply: Reply) -> DecisionResult:
    state, detail, wake = cast("tuple[str, str, int]", reply)
    if state != "refused":
        return Decided(cast(State, state), bool(wake))
    if detail in _REFUSALS:
        return _REFUSALS[detail](local_id)
    return RefusedDecision(local_id, verb, detail)


def _settled(reply: Reply) -> Settled:
    taken, state = cast("tuple[Literal['settled', 'stale', 'late'], str]", reply)
    return Settled(taken, state)


def _next_in(milliseconds_left: int) -> timedelta | None:
    return None if int(milliseconds_left) < 0 else timedelta(milliseconds=int(milliseconds_left))


def _message(local_id: str, record: Reply, entry: Reply) -> Message | None:
    fields = _pairs(record)
    if fields.get("state"):
        return message_from_record(local_id, fields)
    return message_from_entry(local_id, str(entry)) if entry is not None else None


def _scores(reply: Reply) -> list[float]:
    # Pairs under RESP3 and where redis-py parses by the command's name; else member, score, member, score …
    flat = [part for item in _items(reply) for part in (_items(item) if isinstance(item, list | tuple) else (item,))]
    return [float(cast(float, score)) for score in flat[1::2]]


def _whole(reply: Reply) -> int:
    return int(cast(int, reply))


def _items(reply: Reply) -> Sequence[Reply]:
    return cast("Sequence[Reply]", reply)


def _pairs(reply: Reply) -> dict[str, str]:
    # redis-py turns HGETALL into a dict outside pipelines only when it parses the reply by command name.
    if isinstance(reply, dict):
        return reply
    flat = [str(item) for item in _items(reply)]
    return dict(zip(flat[::2], flat[1::2], strict=True))

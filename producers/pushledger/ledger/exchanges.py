"""Every exchange of the ledger: what is sent for each method, and how the replies are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Literal, cast

from pushledger.errors import (
    AlreadyExists,
    Gone,
    OutcomeUnknown,
    RefusedJob,
    TargetChanged,
    UnknownLocalId,
)
from pushledger.jobs import Create, Delete, Job, Kind, Update, Upsert, version_number
from pushledger.ledger.deliveries import Claim, Claimed, RateWindow, Settled, Settlement, render_windows
from pushledger.ledger.digests import digest
from pushledger.ledger.exchange import Argument, Command, Exchange, Reply, ScriptCall
from pushledger.ledger.keys import PRIORITIES, Keys
from pushledger.ledger.policy import LedgerPolicy, milliseconds
from pushledger.ledger.scripts import Script, script
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

__all__ = ["Exchanges", "RecordResult", "Recorded"]

_REFUSALS: dict[str, type[RefusedJob]] = {
    "unknown_local_id": UnknownLocalId,
    "already_exists": AlreadyExists,
    "target_changed": TargetChanged,
    "outcome_unknown": OutcomeUnknown,
    "gone": Gone,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded job: its receipt, and whether the recorder shall publish a wake-up."""

    receipt: Receipt
    wake: bool


RecordResult = Recorded | RefusedJob


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

        return Exchange(calls, read)

    def _record_call(self, job_id: str, life: str, job: Job, digest_key: bytes) -> ScriptCall:
        values = _job_fields(job, life, digest_key)
        return self._call(
            "record",
            job.local_id,
            job_id,
            milliseconds(self.policy.wake_for),
            milliseconds(self.policy.jobs_for),
            2 * len(values),
            *chain.from_iterable(values.items()),
            *self.policy.arguments(),
        )

    def claim(self, claim_id: str, wanted: int, lease: timedelta, windows: tuple[RateWindow, ...]) -> Exchange[Claim]:
        """Take up to ``wanted`` messages for delivery."""
        call = self._claim_call(claim_id, wanted, lease, windows)
        return Exchange((call,), lambda replies: _claim(replies[0]))

    def _claim_call(self, claim_id: str, wanted: int, lease: timedelta, windows: tuple[RateWindow, ...]) -> ScriptCall:
        return self._call(
            "claim", claim_id, wanted, milliseconds(lease), render_windows(windows), *self.policy.arguments()
        )

    def settle(
        self, settlements: Sequence[tuple[Claimed, Settlement]], windows: tuple[RateWindow, ...]
    ) -> Exchange[list[Settled]]:
        """Hand back what came of calls."""
        calls = tuple(self._settle_call(claimed, settlement, windows) for claimed, settlement in settlements)
        return Exchange(calls, lambda replies: [_settled(reply) for reply in replies])

    def settle_and_claim(
        self,
        settlements: Sequence[tuple[Claimed, Settlement]],
        claim_id: str,
        wanted: int,
        lease: timedelta,
        windows: tuple[RateWindow, ...],
    ) -> Exchange[tuple[list[Settled], Claim]]:
        """Hand back what came of calls and take more messages, in one round trip."""
        settles = self.settle(settlements, windows)
        commands = (*settles.commands, self._claim_call(claim_id, wanted, lease, windows))
        return Exchange(commands, lambda replies: (settles.read(replies[:-1]), _claim(replies[-1])))

    def _settle_call(self, claimed: Claimed, settlement: Settlement, windows: tuple[RateWindow, ...]) -> ScriptCall:
        values = _settlement_fields(claimed, settlement)
        return self._call(
            "settle",
            claimed.local_id,
            claimed.token,
            render_windows(windows),
            2 * len(values),
            *chain.from_iterable(values.items()),
            *self.policy.arguments(),
        )

    def wake(self, asker: str, windows: tuple[RateWindow, ...]) -> Exchange[tuple[bool, timedelta | None]]:
        """Ask whether to send a wake-up now, and when there will be something to claim."""
        call = self._call("wake", render_windows(windows), milliseconds(self.policy.wake_for), asker)

        def read(replies: Sequence[Reply]) -> tuple[bool, timedelta | None]:
            wake, next_in = cast("tuple[int, int]", replies[0])
            return bool(wake), _next_in(next_in)

        return Exchange((call,), read)

    def clear_wake(self) -> Exchange[None]:
        """Say that a delivery has begun, so that the next record sends a wake-up again."""
        return Exchange((Command(("DEL", self.keys.wake)),), lambda _: None)

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
        wish=cast(Literal["show", "gone"], fields["wish"]),
        text=fields["text"],
        text_digest=fields["text_digest"],
        target=fields["target"],
        message_id=fields["message_id"],
        shown_digest=fields["shown_digest"],
        doomed=tuple((cast(Kind, kind), message_id) for kind, message_id in doomed),
        revision=int(fields["revision"]),
        attempts=int(fields["attempts"] or 0),
        failing_for=_since(fields["failing_since"], now),
        waiting_for=_since(fields["waiting_since"], now),
    )


def _since(then: str, now: int) -> timedelta:
    return timedelta(milliseconds=max(0, now - int(then))) if then else timedelta(0)


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


def _items(reply: Reply) -> Iterable[Reply]:
    return cast("Sequence[Reply]", reply)


def _pairs(reply: Reply) -> dict[str, str]:
    # redis-py turns HGETALL into a dict outside pipelines only when it parses the reply by command name.
    if isinstance(reply, dict):
        return reply
    flat = [str(item) for item in _items(reply)]
    return dict(zip(flat[::2], flat[1::2], strict=True))

"""One history: virtual producers and workers, a virtual clock, and every crash point between two steps."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pushledger.errors import RefusedJob
from pushledger.jobs import Create, Delete, Job, Update, Upsert
from pushledger.ledger import Budget, Claim, Claimed, LedgerPolicy, RateWindow, Recorded, Settled, Settlement
from pushledger.ledger.connection import Connection
from pushledger.ledger.exchange import Exchange
from pushledger.ledger.exchanges import Decided, DecisionResult, Exchanges
from pushledger.ledger.keys import Keys
from pushledger.ledger.scripts import Script, script
from pushledger.targets import Agent
from pushledger_worker.answer import Answer, Answered, Dropped
from pushledger_worker.plan import Call, Edit, Ping, Probe, Remove, Send, plan
from pushledger_worker.verdict import Limits, Standing, verdict

from simulation.model_api import Copy, Faults, ModelApi

T = TypeVar("T")
Steps = Generator[int, None, T]  # yields how many ms to rest before the next step

BEGINNING = 1_700_000_000_000
CALL_TIMEOUT = 2_000
LEASE = 4_000
SETTLE_DELAY = 3_000
WINDOW = 5_000
PING_EVERY = 2_000
LIMIT = 6
DIGEST_KEY = bytes(16)


class BrokenPromise(AssertionError):
    """A promise did not hold in this history."""


class LostReply(Exception):
    """The command may have been carried out; its reply never came."""


def repeated(claim: Claim) -> list[Claimed]:
    """What a claim answers again when it is sent again; a ping is not made up for."""
    return [claimed for claimed in claim.messages if claimed.wish != "ping"]


@dataclass
class Actor:
    """Something that takes steps: a producer, a worker, a call, an effect at the API."""

    name: str
    steps: Iterator[int]
    wakes_at: int
    group: str


@dataclass(frozen=True)
class Options:
    """What a history is made of. ``variant`` hooks break a rule on purpose, to see that the checks find it."""

    jobs: int = 18
    workers: int = 3
    max_resends: int = 1
    checks_send_by: bool = True
    budget_per_worker: bool = False
    blames_message: bool = False
    shared_key: bool = False


@dataclass
class Wished:
    """What the shop was told is recorded, followed independently of the ledger."""

    text: str | None = None
    target: str = ""
    left_alone: bool = False
    expires: bool = False
    granted: int = 0
    version: int | None = None
    exists: bool = False
    bad: bool = False


@dataclass
class World:
    """The state of one history, and its log."""

    seed: int
    connection: Connection
    options: Options = field(default_factory=Options)
    script: Callable[[str], Script] = script
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        random.seed(self.seed)  # tenacity's jitter
        self.now = BEGINNING
        self.keys = Keys(f"sim{self.seed}")
        self.policy = LedgerPolicy(
            max_resends=self.options.max_resends,
            settle_delay=timedelta(milliseconds=SETTLE_DELAY),
            tombstone_for=timedelta(hours=10),
            lane_wait=timedelta(seconds=60),
            ping_every=timedelta(milliseconds=PING_EVERY),
        )
        self.budget = Budget((RateWindow(LIMIT, timedelta(milliseconds=WINDOW)),))
        self.limits = Limits(
            backoff_first=timedelta(seconds=1),
            backoff_limit=timedelta(seconds=8),
            give_up_after=timedelta(hours=1),
            settle_delay=self.policy.settle_delay,
        )
        self.api = ModelApi(self.dice, lambda: self.now, CALL_TIMEOUT, SETTLE_DELAY, LIMIT, WINDOW)
        self.api.said = self.note
        self.actors: list[Actor] = []
        self.wished: dict[str, Wished] = {}
        self.in_the_air: dict[str, str] = {}
        self.jobs_heard: dict[str, str] = {}
        self.handed_in: dict[str, str] = {}
        self.without_id: set[str] = set()
        self.tokens: set[str] = set()
        self.last_sent_at: dict[str, int] = {}
        self.ever_created: set[str] = set()
        self.first_creates: dict[str, str] = {}
        self.first_claimed_at: dict[str, int] = {}
        self.sends_in_the_air: dict[str, str] = {}
        self.known_to_show: dict[str, str] = {}
        self.last_pings: dict[str, int] = {}
        self.made = 0
        self.faulty = True

    # ------------------------------------------------------------ the clock and the actors

    def note(self, text: str) -> None:
        self.log.append(f"{self.now - BEGINNING:>7} {text}")

    def start(self, name: str, steps: Iterator[int], group: str, rest: int = 0) -> None:
        self.actors.append(Actor(name, steps, self.now + rest, group))

    def step(self) -> bool:
        """Let one actor take one step; False when none is left."""
        if not self.actors:
            return False
        ready = [actor for actor in self.actors if actor.wakes_at <= self.now]
        if not ready:
            self.now = min(actor.wakes_at for actor in self.actors)
            return True
        actor = self.dice.choice(ready)
        self.now += self.dice.choice((0, 0, 1, 5, 20))
        if self.faulty and actor.group.startswith("worker"):
            roll = self.dice.random()
            if roll < 0.01:
                self.crash(actor.group)
                return True
            if roll < 0.02:
                self.freeze(actor.group, self.dice.randint(500, 4 * LEASE))
                return True
        try:
            actor.wakes_at = self.now + next(actor.steps)
        except StopIteration:
            self.actors.remove(actor)
        return True

    def crash(self, group: str) -> None:
        """SIGKILL: every step of the group is gone; its requests go on at the API. Another takes its place."""
        self.note(f"{group} is killed")
        for actor in [actor for actor in self.actors if actor.group == group]:
            self.actors.remove(actor)
            self.in_the_air = {key: value for key, value in self.in_the_air.items() if value != actor.name}
        self.start_worker(rest=self.dice.randint(100, 2000))

    def freeze(self, group: str, duration: int) -> None:
        """SIGSTOP, a paused virtual machine, a long garbage collection: its own clock goes on."""
        self.note(f"{group} freezes for {duration} ms")
        for actor in self.actors:
            if actor.group == group:
                actor.wakes_at = max(actor.wakes_at, self.now + duration)

    # ------------------------------------------------------------ Redis

    def exchanges(self) -> Exchanges:
        return Exchanges(self.keys, self.policy, self.now, self.script)

    def redis(self, build: Callable[[Exchanges], Exchange[T]]) -> Steps[T]:
        """One exchange, with a place to die before and after it; its request or its reply may be lost."""
        yield 0
        if self.faulty and self.dice.random() < 0.02:
            raise LostReply  # the request was lost: nothing happened
        result = self.connection.run(build(self.exchanges()))
        if self.faulty and self.dice.random() < 0.03:
            first, result = result, self.connection.run(build(self.exchanges()))  # sent twice: the second reply is read
            if isinstance(first, Claim) and isinstance(result, Claim) and repeated(first):
                self.check(repeated(first) == repeated(result), "a claim sent twice took other messages")
        lost = self.faulty and self.dice.random() < 0.03
        yield 0
        if lost:
            raise LostReply
        return result

    # ------------------------------------------------------------ producers

    def producer(self, number: int, jobs: int) -> Steps[None]:
        """A shop's process: jobs on few messages; what failed is repeated under the same job id."""
        for _ in range(jobs):
            yield self.dice.choice((0, 10, 300, 2500))
            job = self.invent()
            identified = [(f"job{self.dice.getrandbits(48)}", f"life{self.dice.getrandbits(32)}", job)]
            repeats = 2 if self.dice.random() < 0.1 else 1
            recorded = False
            while not recorded or repeats:
                try:
                    yield from self.record(identified, told=recorded)
                    recorded = True
                    repeats -= 1
                except LostReply:
                    yield self.dice.randint(10, 500)

    def record(self, identified: list[tuple[str, str, Job]], told: bool) -> Steps[None]:
        def build(exchanges: Exchanges) -> Exchange[None]:
            exchange = exchanges.record(identified, DIGEST_KEY)

            def read(replies: object) -> None:
                self.heard(identified[0][0], identified[0][2], exchange.read(replies)[0])  # type: ignore[arg-type]

            return Exchange(exchange.commands, read)

        yield from self.redis(build)

    def invent(self) -> Job:
        dice = self.dice
        number = dice.randint(1, 4)
        local_id = f"m{number}"
        text = f"{local_id} text {dice.randint(1, 3)}" + (" bad" if dice.random() < 0.05 else "")
        version = dice.randint(1, 9) if dice.random() < 0.4 else None
        visitor = f"visitor {number % 2}" if dice.random() < 0.9 else "other visitor"
        options: dict[str, Any] = {"version": version, "priority": dice.choice(("high", "normal", "normal", "low"))}
        if dice.random() < 0.1:
            options["not_before"] = self.moment(dice.randint(100, 4000))
        if dice.random() < 0.08:
            options["expires_at"] = self.moment(dice.randint(4100, 20_000))
        match dice.choice(("create", "update", "upsert", "upsert", "delete")):
            case "create":
                return Create(local_id, visitor, f"{text} for {visitor}", "agent", **options)
            case "update":
                return Update(local_id, f"{text} for anyone", **options)
            case "upsert":
                return Upsert(local_id, visitor, f"{text} for {visitor}", "agent", **options)
            case _:
                return Delete(local_id, **options)

    def moment(self, ahead: int) -> datetime:
        return datetime.fromtimestamp((self.now + ahead) / 1000, UTC)

    def heard(self, job_id: str, job: Job, result: Recorded | RefusedJob) -> None:
        """Follow what was accepted, when it was; a repetition of a job that was accepted says nothing new."""
        outcome = type(result).__name__ if isinstance(result, RefusedJob) else result.receipt.outcome
        earlier = self.jobs_heard.get(job_id)
        if earlier is not None:
            self.check(outcome == earlier, f"a repeated job answered {outcome}, first it answered {earlier}")
            return
        if not isinstance(result, RefusedJob):
            self.jobs_heard[job_id] = outcome
        self.note(f"{type(job).__name__} {job.local_id} v={job.version} {getattr(job, 'text', '')!r}: {outcome}")
        wished = self.wished.setdefault(job.local_id, Wished())
        version = job.version if isinstance(job.version, int) else None
        stale = version is not None and wished.version is not None and version < wished.version
        self.check((outcome == "stale") == stale, f"R14: version {version} after {wished.version} was {outcome}")
        if isinstance(result, RefusedJob) or outcome == "stale":
            return
        if version is not None:
            wished.version = version
        self.follow_create(job)
        if outcome != "unchanged":
            wished.left_alone = wished.left_alone and isinstance(job, Update)
            wished.expires = job.expires_at is not None
        match job:
            case Delete():
                self.without_id.discard(job.local_id)
                wished.text, wished.exists, wished.bad = None, False, False
            case Update():
                wished.text, wished.bad = job.text, "bad" in job.text
            case _:
                wished.text, wished.bad = job.text, "bad" in job.text
                wished.target, wished.exists = job.visitor_id, True

    def follow_create(self, job: Job) -> None:
        """Remember the order in which first creates of a visitor were accepted, to check its lane."""
        if isinstance(job, Delete):
            self.first_creates.pop(job.local_id, None)
        elif isinstance(job, Create | Upsert) and job.local_id not in self.ever_created:
            self.ever_created.add(job.local_id)
            if job.not_before is None and job.expires_at is None:
                self.first_creates[job.local_id] = job.visitor_id
        elif job.not_before is not None or job.expires_at is not None:
            self.first_creates.pop(job.local_id, None)

    def check_lane(self, call: Send, claimed: Claimed) -> None:
        visitor = json.loads(call.target)["visitorId"]
        ordered = list(self.first_creates)
        for local_id in ordered[: ordered.index(claimed.local_id)] if claimed.local_id in ordered else ():
            ahead = self.first_creates[local_id] == visitor and self.keeps_lane(local_id)
            self.check(not ahead, f"promise 4: {claimed.local_id} overtakes {local_id} in the lane of {visitor}")
        beside = [other for other, its in self.sends_in_the_air.items() if its == visitor and other in self.in_the_air]
        beside = [other for other in beside if other != claimed.local_id]
        self.check(not beside, f"promise 4: {claimed.local_id} and {beside} are created side by side for {visitor}")
        self.sends_in_the_air[claimed.local_id] = visitor

    def keeps_lane(self, local_id: str) -> bool:
        """Whether the others have to wait for it still (R13)."""
        known = self.connection.run(self.exchanges().get([local_id]))[0]
        events = self.connection.run(self.exchanges().timeline(local_id))
        passed = any(event.event in ("held", "failed", "expired") for event in events)
        left = known is None or known.message_id or passed
        tried_for = self.now - self.first_claimed_at.get(local_id, self.now)
        return not left and tried_for < self.policy.lane_wait // timedelta(milliseconds=1)

    # ------------------------------------------------------------ presence

    def keeper(self) -> Steps[None]:
        """A shop's process that keeps agents online for a time."""
        for number in range(self.dice.choice((0, 0, 1, 3))):
            agent, duration = Agent(f"agent {number}"), timedelta(milliseconds=self.dice.randint(3_000, 20_000))
            try:
                yield from self.redis(lambda e, a=agent, d=duration: e.keep_online(a, None, d))
            except LostReply:
                yield 10

    # ------------------------------------------------------------ a person

    def person(self) -> Steps[None]:
        """Someone on duty: looks now and then, and decides about what is held or failed."""
        for _ in range(12):
            yield self.dice.randint(200, 4000)
            state = self.dice.choice(("held", "held", "failed", "expired"))
            for local_id in self.connection.run(self.exchanges().ids(state, 3)):
                try:
                    yield from self.decide(local_id)
                except LostReply:
                    self.note(f"a decision on {local_id} was lost")

    def decide(self, local_id: str) -> Steps[None]:
        verb = self.dice.choice(("retry", "resend", "resolve", "discard"))
        hidden = [copy for copy in self.shown(local_id) if copy.message_id not in self.handed_in]
        now = self.wished[local_id]
        hidden = [copy for copy in hidden if not now.exists or copy.target == now.target]
        if verb == "resolve" and not hidden:
            return
        fields = {"message_id": hidden[0].message_id} if verb == "resolve" else {}
        wished, decision_id = self.wished[local_id], f"decision{self.dice.getrandbits(48)}"
        carried_out = False

        def build(exchanges: Exchanges) -> Exchange[DecisionResult]:
            exchange = exchanges.decide(verb, local_id, decision_id, fields)

            def read(replies: object) -> DecisionResult:
                nonlocal carried_out
                result = exchange.read(replies)  # type: ignore[arg-type]
                if isinstance(result, Decided) and not carried_out:
                    carried_out = True
                    self.first_creates.pop(local_id, None)  # what was held or failed has left its place in the lane
                    # Whoever discards what may be visible accepts those copies beside the next life's own.
                    wished.granted += (
                        1 if verb == "resend" else 1 + self.options.max_resends if verb == "discard" else 0
                    )
                    wished.left_alone = wished.left_alone or verb == "discard"
                    if verb == "resolve":
                        self.handed_in[fields["message_id"]] = local_id
                    self.without_id.discard(local_id)
                    self.known_to_show.pop(local_id, None)
                    self.note(f"a person: {verb} {local_id} -> {result.state}")
                return result

            return Exchange(exchange.commands, read)

        yield from self.redis(build)

    # ------------------------------------------------------------ workers

    def start_worker(self, rest: int = 0) -> None:
        self.made += 1
        name = f"worker{self.made}"
        self.start(name, self.worker(name), name, rest)

    def worker(self, name: str) -> Steps[None]:
        budget = self.budget
        if self.options.budget_per_worker:
            budget = Budget((RateWindow(LIMIT, timedelta(milliseconds=WINDOW + self.made)),))
        while True:
            asked_at = self.now
            claim = yield from self.claim(f"claim{self.dice.getrandbits(48)}", budget)
            send_by = asked_at + LEASE - CALL_TIMEOUT
            for claimed in claim.messages:
                self.note(f"{name} claims {claimed.local_id} r{claimed.revision} ({claimed.token[-6:]})")
                call_name = f"{name}/{claimed.token}"
                self.start(call_name, self.call(call_name, claimed, claim.strikes, send_by, budget), name)
            next_in = 500 if claim.next_in is None else min(500, round(claim.next_in.total_seconds() * 1000))
            yield max(next_in, 20)

    def claim(self, claim_id: str, budget: Budget) -> Steps[Claim]:
        while True:
            try:
                return (yield from self.redis(lambda e: self.watched_claim(e, claim_id, budget)))
            except LostReply:
                yield self.dice.randint(10, 300)

    def watched_claim(self, exchanges: Exchanges, claim_id: str, budget: Budget) -> Exchange[Claim]:
        """A claim whose messages are looked at in the moment in which they are taken."""
        exchange = exchanges.claim(claim_id, 3, timedelta(milliseconds=LEASE), budget)

        def read(replies: object) -> Claim:
            claim = exchange.read(replies)  # type: ignore[arg-type]
            for claimed in claim.messages:
                if claimed.token not in self.tokens:
                    self.tokens.add(claimed.token)
                    self.first_claimed_at.setdefault(claimed.local_id, self.now)
                    self.check_needed(claimed)
                if claimed.wish == "ping":
                    self.check_ping(claimed.target)
            return claim

        return Exchange(exchange.commands, read)

    def is_probing(self) -> bool:
        pause = self.connection.run(self.exchanges().account(self.budget)).pause
        return pause is not None and pause.trouble

    def check_needed(self, claimed: Claimed) -> None:
        call, known = plan(claimed), self.known_to_show.pop(claimed.local_id, None)
        if isinstance(call, Send):
            self.check(not self.is_probing(), f"R11: a pause is probed with the create of {claimed.local_id}")
        if isinstance(call, Send | Edit):
            newest = self.wished[claimed.local_id].text
            self.check(call.text == newest, f"promise 3: {claimed.local_id} is claimed with a superseded text")
        if isinstance(call, Edit):
            self.check(call.text != known, f"promise 3: {claimed.local_id} is known to show just this text")

    def check_ping(self, agent: str) -> None:
        rested = self.now - self.last_pings.get(agent, 0)
        self.check(rested >= PING_EVERY, f"{agent} is pinged again after {rested} ms")
        self.last_pings[agent] = self.now

    def call(self, name: str, claimed: Claimed, strikes: int, send_by: int, budget: Budget) -> Steps[None]:
        """Plan, send, settle: what the delivery does for one message."""
        call = plan(claimed)
        if call is None:
            raise BrokenPromise(f"promise 3: claimed {claimed.local_id}, and no call is needed")
        yield self.dice.choice((0, 0, 5))
        answer = yield from self.perform(name, call, claimed, send_by)
        standing = Standing(attempts=claimed.attempts, failing_for=claimed.failing_for, strikes=strikes)
        settlement = verdict(call, answer, standing, self.limits)
        if self.options.blames_message and settlement.status == 401:
            settlement = Settlement(kind="refused", status=401)
        while True:
            try:
                settled = yield from self.redis(lambda e: self.watched_settle(e, call, claimed, settlement, budget))
            except LostReply:
                yield self.dice.randint(10, 500)
                continue
            self.note(f"{name[-12:]} {claimed.local_id}: {settlement.kind} {settled[0].taken} -> {settled[0].state}")
            return

    def watched_settle(
        self,
        exchanges: Exchanges,
        call: Call,
        claimed: Claimed,
        settlement: Settlement,
        budget: Budget,
    ) -> Exchange[list[Settled]]:
        """A settlement that is remembered in the moment in which it is written."""
        exchange = exchanges.settle([(claimed, settlement)], budget)

        def read(replies: object) -> list[Settled]:
            settled = exchange.read(replies)  # type: ignore[arg-type]
            self.settled(call, claimed, settlement, settled[0])
            return settled

        return Exchange(exchange.commands, read)

    def settled(self, call: Call, claimed: Claimed, settlement: Settlement, settled: Settled) -> None:
        """Remember what the ledger was told, to see at rest what it made of it."""
        if settlement.kind != "confirmed":
            return
        if isinstance(call, Send) and settlement.message_id:
            self.handed_in[settlement.message_id] = claimed.local_id
        elif isinstance(call, Send) and settled.taken == "settled" and settled.state in ("held", "retrying", "queued"):
            self.without_id.add(claimed.local_id)
        identified = isinstance(call, Edit) or bool(settlement.message_id)
        if settled.taken == "settled" and isinstance(call, Send | Edit) and identified:
            self.known_to_show[claimed.local_id] = call.text

    def perform(self, name: str, call: Call, claimed: Claimed, send_by: int) -> Steps[Answer]:
        if self.options.checks_send_by and self.now > send_by:
            return Dropped()
        if not isinstance(call, Probe | Ping):
            self.begin_call(name, call, claimed)
        made: list[str] = []
        fate = self.api.receive(call, claimed.local_id, lambda _: "")
        self.start(f"end of {name}", self.end_call(name, claimed, fate.answer_at), "the API")
        if fate.effect_at is not None:
            self.start(f"effect of {name}", self.effect(call, claimed, fate.effect_at, self.now, made), "the API")
        while self.now < fate.answer_at:
            yield fate.answer_at - self.now
        if fate.effect_at is not None and fate.effect_at <= fate.answer_at:
            while not made:
                yield 1
        if self.in_the_air.get(claimed.local_id) == name:
            del self.in_the_air[claimed.local_id]
        answer = fate.answer()
        if isinstance(answer, Answered) and answer.status == 200 and answer.body and isinstance(call, Send):
            return Answered(200, {}, {"id": made[0]})
        return answer

    def begin_call(self, name: str, call: Call, claimed: Claimed) -> None:
        self.note(f"{name[-12:]} {type(call).__name__} {claimed.local_id} {getattr(call, 'text', '')!r}")
        other = self.in_the_air.get(claimed.local_id)
        self.check(other is None, f"promise 4: {claimed.local_id} has two calls in the air: {other} and {name}")
        self.in_the_air[claimed.local_id] = name
        self.sends_in_the_air.pop(claimed.local_id, None)
        if isinstance(call, Send):
            self.check(bool(call.target), f"{claimed.local_id} is sent to nobody: its life is over")
            self.check_lane(call, claimed)
            self.check(claimed.local_id not in self.without_id, f"R9: {claimed.local_id} is sent again without an id")

    def end_call(self, name: str, claimed: Claimed, at: int) -> Steps[None]:
        """The call is over when its answer is there or its time is up, whether its sender is awake to see it or not."""
        while self.now < at:
            yield at - self.now
        if self.in_the_air.get(claimed.local_id) == name:
            del self.in_the_air[claimed.local_id]

    def effect(self, call: Call, claimed: Claimed, at: int, sent_at: int, made: list[str]) -> Steps[None]:
        while self.now < at:
            yield at - self.now
        overtaken = self.last_sent_at.get(claimed.local_id, 0) > sent_at
        self.check(not overtaken, f"R1: an older call for {claimed.local_id} took effect after a newer one")
        self.last_sent_at[claimed.local_id] = sent_at
        match call:
            case Send(_, target, text):
                message_id = f"id{len(self.api.copies) + 1}"
                visitor = json.loads(target)["visitorId"]
                self.api.copies[message_id] = Copy(message_id, claimed.local_id, visitor, text)
                made.append(message_id)
                self.check(text.endswith((f" for {visitor}", " for anyone")), f"R5: {text!r} reached {visitor}")
                shown = self.shown(claimed.local_id)
                self.check(
                    len(shown) <= 1 + self.options.max_resends + self.wished[claimed.local_id].granted,
                    f"promise 5: {claimed.local_id} is shown {len(shown)} times",
                )
            case Edit(_, message_id, text):
                copy = self.api.copies[message_id]
                self.check(text.endswith((f" for {copy.target}", " for anyone")), f"R5: {text!r} reached {copy.target}")
                copy.text = text
                made.append(message_id)
            case Remove(_, message_id):
                self.api.copies[message_id].visible = False
                made.append(message_id)
        self.note(f"effect: {type(call).__name__} {claimed.local_id} {made[0]}")

    def shown(self, local_id: str) -> list[Copy]:
        return [copy for copy in self.api.copies.values() if copy.local_id == local_id and copy.visible]

    # ------------------------------------------------------------ the history

    def run(self) -> None:
        """Live through the history, let it come to rest, and check every promise."""
        faults = self.api.faults = Faults(
            unsent=0.03, before=0.05, after=0.06, late=0.05, no_id=0.01, refused_key=self.spell(), down=self.spell()
        )
        for number in range(2):
            self.start(f"shop{number}", self.producer(number, self.options.jobs // 2), "shop")
        self.start("person", self.person(), "shop")
        self.start("keeper", self.keeper(), "shop")
        for _ in range(self.options.workers):
            self.start_worker()
        while any(actor.group == "shop" for actor in self.actors):
            self.step()
        for _ in range(200):
            self.step()
        self.faulty = False
        self.api.faults = Faults()
        del faults
        self.come_to_rest()
        self.check_rest()

    def spell(self) -> tuple[int, int]:
        if self.dice.random() < 0.7:
            return (0, 0)
        begins = BEGINNING + self.dice.randint(0, 10_000)
        return (begins, begins + self.dice.randint(500, 6_000))

    def come_to_rest(self) -> None:
        ends = self.now + 3_600_000
        while self.now < ends:
            for _ in range(50):
                self.step()
            if not self.unfinished() and not any(actor.group == "the API" for actor in self.actors):
                return
        raise BrokenPromise(f"promise 1: never at rest: {self.unfinished()}")

    def unfinished(self) -> dict[str, int]:
        counts = self.connection.run(self.exchanges().counts())
        return {state: counts[state] for state in ("queued", "sending", "retrying") if counts[state]}

    def check_rest(self) -> None:
        ids = sorted(self.wished)
        messages = self.connection.run(self.exchanges().get(ids))
        for local_id, message in zip(ids, messages, strict=True):
            wished, shown = self.wished[local_id], self.shown(local_id)
            state = message.state if message else None
            self.note(f"at rest: {local_id} {state} {message.reason if message else ''} shown={len(shown)}")
            if state is None:
                self.check(not wished.exists and not shown, f"promise 1: {local_id} is lost")
                continue
            assert message is not None
            if wished.left_alone:
                continue
            if wished.exists != (message.wish == "show"):
                raise BrokenPromise(f"promise 1: {local_id} should be {wished}, the ledger wishes {message.wish}")
            if len(shown) > wished.exists:
                self.check(message.maybe_doubled or state == "held", f"R6: {local_id} is doubled without a mark")
            if state == "delivered":
                known = [copy for copy in shown if copy.message_id == message.message_id]
                self.check(wished.exists and bool(known), f"promise 1: {local_id} is lost: delivered and not shown")
                self.check(known[0].text == wished.text, f"promise 2: {local_id} shows an old text")
                self.check(message.text is None and message.visitor_id is None, "promise 9: the text is kept")
            elif state == "deleted":
                self.check(not wished.exists and not shown, f"promise 2: {local_id} is deleted and still shown")
            elif state == "failed":
                self.check(
                    wished.bad or message.reason in ("gone", "worker_lost"),
                    f"promise 8: {local_id} failed for {message.reason}",
                )
            elif state == "expired":
                self.check(wished.expires, f"{local_id} is expired without a time")
            else:
                self.check(state == "held", f"{local_id} is {state}")
        for message_id, local_id in self.handed_in.items():
            known = self.connection.run(self.exchanges().get([local_id]))[0]
            if (
                self.api.copies[message_id].visible
                and known
                and known.state != "failed"
                and not self.wished[local_id].left_alone
            ):
                self.check(
                    known.message_id == message_id, f"R8: {message_id} of {local_id} was handed in and forgotten"
                )
        if not self.options.shared_key:
            self.check(self.api.refused_429 == 0, f"promise 6: {self.api.refused_429} answers 429")

    def check(self, holds: bool, sentence: str) -> None:
        if not holds:
            self.note(f"BROKEN {sentence}")
            raise BrokenPromise(sentence)

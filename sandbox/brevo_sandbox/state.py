"""The sandbox itself: all of its state, and its rules as plain calls without sockets or waiting.

A request passes through three calls: `begin` decides what befalls it, `carry_out` gives it its effect and its
ending once the delay is over, `finish` notes how it went. Whoever holds the sockets waits in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from brevo_sandbox.agents import Agents
from brevo_sandbox.conversations import Conversations, Happening
from brevo_sandbox.endings import Drop, Ending, Hang, Reply, refusal
from brevo_sandbox.events import event_body
from brevo_sandbox.faults import LONGEST_HANG, Chance, End, Fault, Faults, Kind, Verdict
from brevo_sandbox.ids import new_id
from brevo_sandbox.incoming import Incoming, Target
from brevo_sandbox.journal import Journal
from brevo_sandbox.messages import Family, Message
from brevo_sandbox.operations import Operations
from brevo_sandbox.rates import Buckets, Quota, Rate
from brevo_sandbox.repeats import Repeats
from brevo_sandbox.rules import Bucket, LimitBody, Rules, WindowType
from brevo_sandbox.store import Store
from brevo_sandbox.webhooks import Receiver, Webhooks
from brevo_sandbox.wire import BadInputError

_HTML_TOO_MANY = b"<html><head><title>429 Too Many Requests</title></head><body>429 Too Many Requests</body></html>"
_TOO_MANY = {
    LimitBody.CODE: refusal(429, "too_many_requests", "The expected rate limit is exceeded."),
    LimitBody.EMPTY_OBJECT: Reply(429, b"{}"),
    LimitBody.HTML: Reply(429, _HTML_TOO_MANY, "text/html; charset=utf-8"),
}
_REPEATED = refusal(400, "duplicate_request", "The same request came again too soon.")
_NO_KEY = refusal(401, "unauthorized", "authentication not found in headers")
_WRONG_KEY = refusal(401, "unauthorized", "Key not found")
_BEFORE_EFFECT = frozenset(
    {
        Kind.ERROR_BEFORE,
        Kind.RESET_BEFORE,
        Kind.TIMEOUT_BEFORE,
        Kind.RATE_LIMITED,
        Kind.UNAUTHORIZED,
        Kind.REFUSED,
        Kind.HTML_ERROR,
        Kind.LATE_EFFECT,
    }
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request under way; `answer` is set when it was turned away at the door."""

    request: Incoming
    number: int
    journal: Journal
    answer: Reply | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Course:
    """How a request ends, and after how many seconds its effect follows, if it follows late."""

    ending: Ending
    late_after: float | None = None


class Sandbox:
    """A stand-in for the Conversations API, from the rate limit to what each visitor sees."""

    def __init__(
        self,
        *,
        rate: Rate | None = None,
        chances: Iterable[Chance] = (),
        seed: int | None = None,
        keys: Iterable[str] | None = None,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.time,
        dice: Callable[[int | None], Random] = Random,
        ids: Callable[[], str] = new_id,
        journal_size: int = 100_000,
        webhooks_anywhere: bool = False,
    ) -> None:
        self.clock = clock
        self._webhooks_anywhere = webhooks_anywhere
        self.webhooks = Webhooks(clock)
        self._ids = ids
        self._dice = dice
        self._journal_size = journal_size
        self._at_start = (
            rate,
            tuple(chances),
            seed,
            None if keys is None else frozenset(keys),
            rules or Rules(),
        )
        self.reset()

    def reset(self) -> None:
        """Forget every message and request, and return to the settings of the start."""
        rate, chances, seed, keys, rules = self._at_start
        self.webhooks.close()
        self.webhooks = Webhooks(self.clock)
        self.store = Store()
        self.agents = Agents()
        self._conversations = Conversations(self.store)
        self._repeats = Repeats()
        self.journal = Journal(self._journal_size)
        self.faults = Faults(chances, seed, self._dice)
        self.keys = keys
        self.rules = rules
        self.set_rate(rate)

    @property
    def rate(self) -> Rate | None:
        """The rate limit in force."""
        return None if self._buckets is None else self._buckets.rate

    def set_rate(self, rate: Rate | None) -> None:
        """Put another rate limit in force, with fresh windows."""
        rules = self.rules
        sliding = rules.window is WindowType.SLIDING
        self._buckets = None if rate is None else Buckets(rate, sliding=sliding, count_refused=rules.count_refused)

    def set_rules(self, rules: Rules) -> None:
        """Turn switches; windows that are running go on, unless they are of another kind from here on."""
        before, self.rules = self.rules, rules
        if self._buckets is None:
            return
        if (before.bucket, before.window) != (rules.bucket, rules.window):
            self.set_rate(self._buckets.rate)
        self._buckets.count_refused(rules.count_refused)

    def set_webhook(self, receiver: Receiver | None) -> None:
        """Tell a receiver of every event from here on, or nobody with None; `BadInputError` if it is not loopback."""
        if receiver is not None and not (self._webhooks_anywhere or receiver.loopback):
            raise BadInputError("url: only this machine may be called, unless the sandbox was started to call any")
        self.webhooks.receiver = receiver

    def set_keys(self, keys: Iterable[str] | None) -> None:
        """Accept only these keys from here on, or any with None."""
        self.keys = None if keys is None else frozenset(keys)

    def quota(self, request: Incoming | None = None) -> Quota | None:
        """Tell what the rate limit still allows for calls like this one, or where it is tightest; None without one."""
        if self._buckets is None:
            return None
        if request is None:
            return self._buckets.tightest(self.clock())
        return self._buckets.quota(self._bucket_of(request), self.clock())

    def say(self, visitor_id: str, text: str) -> Message:
        """Let a visitor write something."""
        now = int(self.clock() * 1000)
        message = Message(self._ids(), Family.CHAT, visitor_id, text, agent=None, created_at=now)
        self.store.add(message)
        self._tell_of(message)
        return message

    def finish_chat(self, visitor_id: str) -> bool:
        """End a visitor's conversation; False when none is going on."""
        happening = self._conversations.finish(visitor_id)
        if happening is not None:
            self._tell(happening)
        return happening is not None

    def begin(self, request: Incoming) -> Exchange:
        """Let a request in or turn it away, and decide what befalls it."""
        now = self.clock()
        number = self.journal.begin(request, now)
        key = request.header("api-key")
        answer: Reply | None = None
        if not key:
            answer = _NO_KEY
        elif self.keys is not None and key not in self.keys:
            answer = _WRONG_KEY
        elif self._buckets is not None and not self._buckets.draw(self._bucket_of(request), now):
            answer = _TOO_MANY[self.rules.limit_body]
        elif self.rules.duplicate_seconds and not self._repeats.draw(request, now, self.rules.duplicate_seconds):
            answer = _REPEATED
        if answer is not None:
            return Exchange(request, number, self.journal, answer, Verdict())
        verdict = self.faults.strike(request, self._visitor_of(request))
        self.journal.struck(number, verdict.names, verdict.delay)
        return Exchange(request, number, self.journal, None, verdict)

    def carry_out(self, exchange: Exchange) -> Course:
        """Give a request its effect, as far as its fault allows, and its ending."""
        if exchange.answer is not None:
            return Course(exchange.answer)
        fault = exchange.verdict.fault
        if fault is None:
            return Course(self._perform(exchange))
        if fault.kind in _BEFORE_EFFECT:
            return Course(self._ending(fault), fault.seconds if fault.kind is Kind.LATE_EFFECT else None)
        honest = self._perform(exchange)
        spoilt_nothing = fault.kind is Kind.BAD_BODY and honest.status >= 400
        return Course(honest if spoilt_nothing else self._ending(fault))

    def carry_out_late(self, exchange: Exchange) -> None:
        """Give a request the effect its caller no longer waits for, unless all was reset meanwhile."""
        if exchange.journal is self.journal:
            self._perform(exchange)

    def finish(self, exchange: Exchange, status: int | None) -> None:
        """Note that a request is over."""
        exchange.journal.finish(exchange.number, status, self.clock())

    def _perform(self, exchange: Exchange) -> Reply:
        operations = Operations(self.store, self.agents, self.rules, self.clock, self._ids)
        outcome = operations.perform(exchange.request)
        exchange.journal.performed(exchange.number, effect=outcome.effect, message_id=outcome.message_id)
        if outcome.created is not None:
            self._tell_of(outcome.created)
        return outcome.reply

    def _visitor_of(self, request: Incoming) -> str | None:
        target = request.target
        if not isinstance(target, Target) or target.message_id is None:
            return request.visitor_id
        message = self.store.recall(target.family, target.message_id)
        return None if message is None else message.visitor_id

    def _bucket_of(self, request: Incoming) -> str:
        match self.rules.bucket:
            case Bucket.KEY:
                return request.header("api-key") or ""
            case Bucket.FAMILY:
                return request.family
            case Bucket.ROUTE:
                return request.route
            case _:
                return ""

    def _tell_of(self, message: Message) -> None:
        happening = self._conversations.added(message, fragment_after_push=self.rules.fragment_after_push)
        if happening is not None:
            self._tell(happening)

    def _tell(self, happening: Happening) -> None:
        if self.webhooks.receiver is not None:
            online = self.agents.anybody_online(self.clock())
            self.webhooks.send(happening.name.value, event_body(happening, self.rules, agent_online=online))

    def _ending(self, fault: Fault) -> Ending:
        if fault.kind is Kind.RATE_LIMITED:
            return replace(_TOO_MANY[self.rules.limit_body], reset=fault.reset)
        return _ending(fault)


def _ending(fault: Fault) -> Ending:
    match fault.kind:
        case Kind.UNAUTHORIZED:
            return _WRONG_KEY
        case Kind.REFUSED:
            return refusal(400, "invalid_parameter", "The request was refused")
        case Kind.TIMEOUT_BEFORE | Kind.TIMEOUT_AFTER:
            return Hang(fault.seconds or 0.0)
        case Kind.RESET_BEFORE | Kind.RESET_AFTER:
            return Drop(abruptly=fault.end is End.RESET)
        case Kind.LATE_EFFECT if fault.end is End.HANG:
            return Hang(LONGEST_HANG)
        case Kind.LATE_EFFECT if fault.end is not End.ANSWER:
            return Drop(abruptly=fault.end is End.RESET)
        case _:
            body = (fault.body or "").encode("utf-8", "replace")
            html = fault.kind is Kind.HTML_ERROR or body.startswith(b"<")
            return Reply(fault.status or 500, body, "text/html; charset=utf-8" if html else "application/json")

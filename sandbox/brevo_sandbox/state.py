"""The sandbox itself: all of its state, and its rules as plain calls without sockets or waiting.

A request passes through three calls: `begin` decides what befalls it, `carry_out` gives it its effect and its
ending once the delay is over, `finish` notes how it went. Whoever holds the sockets waits in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from brevo_sandbox.endings import Drop, Ending, Hang, Reply, refusal
from brevo_sandbox.faults import LONGEST_HANG, Chance, End, Fault, Faults, Kind, Verdict
from brevo_sandbox.incoming import Incoming
from brevo_sandbox.journal import Journal
from brevo_sandbox.messages import new_id
from brevo_sandbox.operations import Operations
from brevo_sandbox.rates import Quota, Rate, Window
from brevo_sandbox.rules import Rules
from brevo_sandbox.store import Store

_TOO_MANY = refusal(429, "too_many_requests", "The expected rate limit is exceeded.")
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
    ) -> None:
        self.clock = clock
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
        self.store = Store()
        self.journal = Journal(self._journal_size)
        self.faults = Faults(chances, seed, self._dice)
        self.keys = keys
        self.rules = rules
        self.set_rate(rate)

    @property
    def rate(self) -> Rate | None:
        """The rate limit in force."""
        return None if self._window is None else self._window.rate

    def set_rate(self, rate: Rate | None) -> None:
        """Put another rate limit in force, with a fresh window."""
        self._window = None if rate is None else Window(rate, count_refused=self.rules.count_refused)

    def set_rules(self, rules: Rules) -> None:
        """Turn switches; the window that is running goes on."""
        self.rules = rules
        if self._window is not None:
            self._window.count_refused = rules.count_refused

    def set_keys(self, keys: Iterable[str] | None) -> None:
        """Accept only these keys from here on, or any with None."""
        self.keys = None if keys is None else frozenset(keys)

    def quota(self) -> Quota | None:
        """Tell what the rate limit still allows; None when nothing is limited."""
        return None if self._window is None else self._window.quota(self.clock())

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
        elif self._window is not None and not self._window.draw(now):
            answer = _TOO_MANY
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
            return Course(_ending(fault), fault.seconds if fault.kind is Kind.LATE_EFFECT else None)
        honest = self._perform(exchange)
        spoilt_nothing = fault.kind is Kind.BAD_BODY and honest.status >= 400
        return Course(honest if spoilt_nothing else _ending(fault))

    def carry_out_late(self, exchange: Exchange) -> None:
        """Give a request the effect its caller no longer waits for, unless all was reset meanwhile."""
        if exchange.journal is self.journal:
            self._perform(exchange)

    def finish(self, exchange: Exchange, status: int | None) -> None:
        """Note that a request is over."""
        exchange.journal.finish(exchange.number, status, self.clock())

    def _perform(self, exchange: Exchange) -> Reply:
        outcome = Operations(self.store, self.rules, self.clock, self._ids).perform(exchange.request)
        exchange.journal.performed(exchange.number, effect=outcome.effect, message_id=outcome.message_id)
        return outcome.reply

    def _visitor_of(self, request: Incoming) -> str | None:
        target = request.target
        if target is None or target.message_id is None:
            return request.visitor_id
        message = self.store.recall(target.family, target.message_id)
        return None if message is None else message.visitor_id


def _ending(fault: Fault) -> Ending:
    match fault.kind:
        case Kind.RATE_LIMITED:
            return Reply(_TOO_MANY.status, _TOO_MANY.body, reset=fault.reset)
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
            kind = "text/html; charset=utf-8" if fault.kind is Kind.HTML_ERROR else "application/json"
            return Reply(fault.status or 500, body, kind)

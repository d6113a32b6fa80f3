"""A model of the remote API: what it holds, what it does to a call, and when."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pushledger_worker.answer import Answer, Answered, NotSent, Unanswered
from pushledger_worker.plan import Call, Edit, Ping, Probe, Remove, Send

HOLDS = "the API"


@dataclass
class Copy:
    """A message at the API. ``local_id`` and ``target`` are what the history knows of it, not the API."""

    message_id: str
    local_id: str
    target: str
    text: str
    visible: bool = True


@dataclass(frozen=True)
class Fate:
    """What becomes of one call: when its effect happens (None: never), when its sender has an answer, and which.

    The answer is made when the time comes, as it depends on the effect.
    """

    effect_at: int | None
    answer_at: int
    answer: Callable[[], Answer]


@dataclass
class Faults:
    """How often each fault strikes; all zero in the end, so that everything can come to rest."""

    unsent: float = 0.0
    before: float = 0.0
    after: float = 0.0
    late: float = 0.0
    no_id: float = 0.0
    refused_key: tuple[int, int] = (0, 0)
    down: tuple[int, int] = (0, 0)


@dataclass
class ModelApi:
    """Holds copies, limits calls in fixed windows, and strikes with faults."""

    dice: random.Random
    clock: Callable[[], int]
    call_timeout: int
    settle_delay: int
    limit: int
    window: int
    faults: Faults = field(default_factory=Faults)
    copies: dict[str, Copy] = field(default_factory=dict)
    window_ends: int = 0
    used: int = 0
    refused_429: int = 0
    said: Callable[[str], None] = print

    def receive(self, call: Call, local_id: str, apply: Callable[[Call], str]) -> Fate:
        """Decide the fate of a call that arrives now; ``apply`` carries out its effect and gives the id."""
        now, dice, faults = self.clock(), self.dice, self.faults
        soon = now + dice.randint(1, 300)
        if dice.random() < faults.unsent:
            return Fate(None, soon, lambda: NotSent("refused"))
        if faults.down[0] <= now < faults.down[1]:
            return Fate(None, soon, lambda: NotSent("down"))
        if not self._draws(now):
            self.refused_429 += 1
            self.said(f"429: {self.used} calls in the window until {self.window_ends}")
            reset = str(max(1, -(-(self.window_ends - now) // 1000)))
            return Fate(None, soon, lambda: Answered(429, {"x-sib-ratelimit-reset": reset}, {}))
        if faults.refused_key[0] <= now < faults.refused_key[1]:
            return Fate(None, soon, lambda: Answered(401, {}, {"code": "unauthorized"}))
        if isinstance(call, Ping):
            return Fate(None, soon, lambda: Answered(201, {}, {}))
        if isinstance(call, Probe):
            return Fate(None, soon, lambda: Answered(404, {}, {"code": "document_not_found"}))
        if not isinstance(call, Remove) and "bad" in call.text:
            return Fate(None, soon, lambda: Answered(400, {}, {"code": "invalid_parameter"}))
        if not isinstance(call, Send) and not self._shows(call):
            return Fate(None, soon, lambda: Answered(404, {}, {"code": "document_not_found"}))
        return self._strike(call, now, soon)

    def _strike(self, call: Call, now: int, soon: int) -> Fate:
        dice, faults, ends = self.dice, self.faults, now + self.call_timeout
        roll = dice.random()
        if roll < faults.before:
            return Fate(None, soon, lambda: Answered(500, {}, {}))
        roll -= faults.before
        if roll < faults.after:
            answered = dice.random() < 0.5
            answer: Answer = Answered(502, {}, {}, is_html=True) if answered else Unanswered("reset")
            return Fate(soon, soon if answered else min(ends, soon + dice.randint(0, 1000)), lambda: answer)
        roll -= faults.after
        if roll < faults.late:
            return Fate(ends + dice.randint(0, self.settle_delay - 1), ends, lambda: Unanswered("no answer in time"))
        roll -= faults.late
        if isinstance(call, Send) and roll < faults.no_id:
            return Fate(soon, soon, lambda: Answered(200, {}, {}))
        return Fate(soon, soon + dice.randint(0, 200), lambda: Answered(200, {}, {"id": HOLDS}))

    def _draws(self, now: int) -> bool:
        if now >= self.window_ends:
            self.window_ends, self.used = now + self.window, 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def spend(self, calls: int) -> None:
        """Another client of the same key makes calls."""
        for _ in range(calls):
            self._draws(self.clock())

    def _shows(self, call: Edit | Remove) -> bool:
        copy = self.copies.get(call.message_id)
        return copy is not None and copy.visible

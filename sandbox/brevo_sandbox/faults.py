"""Faults to order: what may go wrong, by chance or by script, and for which requests.

A script comes first: its entries are taken in the order in which they were added, each for as many matching
requests as it asks for. Where no entry matches, the chances are rolled. Latency is looked up apart from the
other kinds, so a request can be slow and fail as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from brevo_sandbox.incoming import Incoming
from brevo_sandbox.wire import BadInputError, Fields, Json

LONGEST_HANG = 120.0
LONGEST_DELAY = 3600.0
_AFTER_STATUSES = (500, 502, 503, 524)
_HTML_BODY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_BAD_BODIES = ("{}", '{"id":null}', '{"id":""}', "[]", "OK", "", '{"id":"AXC')


class Kind(StrEnum):
    """What can go wrong."""

    LATENCY = "latency"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    LATE_EFFECT = "late_effect"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    REFUSED = "refused"
    HTML_ERROR = "html_error"
    BAD_BODY = "bad_body"


class End(StrEnum):
    """How the caller loses its answer: TCP reset, orderly close, silence, or an error status."""

    RESET = "reset"
    CLOSE = "close"
    HANG = "hang"
    ANSWER = "answer"


_RESETS = frozenset({Kind.RESET_BEFORE, Kind.RESET_AFTER})
_ENDING = _RESETS | {Kind.LATE_EFFECT}
_HANGS = frozenset({Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER})
_SECONDS = {Kind.LATENCY: 1.0, Kind.LATE_EFFECT: 2.0} | dict.fromkeys(_HANGS, LONGEST_HANG)
_STATUSES = {
    Kind.ERROR_BEFORE: 500,
    Kind.ERROR_AFTER: None,
    Kind.HTML_ERROR: 502,
    Kind.BAD_BODY: 200,
    Kind.LATE_EFFECT: 524,
}
_BODIES: dict[Kind, str | None] = {
    Kind.ERROR_BEFORE: "{}",
    Kind.ERROR_AFTER: "{}",
    Kind.HTML_ERROR: _HTML_BODY,
    Kind.BAD_BODY: None,
    Kind.LATE_EFFECT: "{}",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; a detail left None takes the kind's default."""

    kind: Kind
    seconds: float | None = None
    status: int | None = None
    reset: int | None = None
    end: End | None = None
    body: str | None = None

    def __post_init__(self) -> None:
        """Refuse a detail that the kind has no use for: it would be a mistake that nobody notices."""
        if self.seconds is not None:
            _only(self.kind in _SECONDS, self.kind, "seconds")
            longest = LONGEST_HANG if self.kind in _HANGS else LONGEST_DELAY
            if not 0 <= self.seconds <= longest:
                raise BadInputError(f"seconds: expected 0 to {longest:g}")
        if self.status is not None:
            _only(self.kind in _STATUSES, self.kind, "status")
            if not 200 <= self.status <= 599:
                raise BadInputError("status: expected 200 to 599")
        if self.reset is not None:
            _only(self.kind is Kind.RATE_LIMITED, self.kind, "reset")
            if self.reset < 0:
                raise BadInputError("reset: expected 0 or more seconds")
        if self.body is not None:
            _only(self.kind in _BODIES, self.kind, "body")
        if self.end is not None:
            fitting = self.kind is Kind.LATE_EFFECT or (self.kind in _RESETS and self.end in (End.RESET, End.CLOSE))
            _only(fitting, self.kind, f"end {self.end.value!r}")

    def settled(self, chance: Random) -> Fault:
        """Fill in every detail, so that carrying it out needs no further choice."""
        status, body = self.status, self.body
        if status is None and self.kind in _STATUSES:
            status = _STATUSES[self.kind] or chance.choice(_AFTER_STATUSES)
        if body is None and self.kind in _BODIES:
            default = _BODIES[self.kind]
            body = chance.choice(_BAD_BODIES) if default is None else default
        return replace(
            self,
            seconds=_SECONDS.get(self.kind) if self.seconds is None else self.seconds,
            status=status,
            reset=5 if self.reset is None and self.kind is Kind.RATE_LIMITED else self.reset,
            end=End.RESET if self.end is None and self.kind in _ENDING else self.end,
            body=body,
        )

    def as_json(self) -> dict[str, Json]:
        """Show the kind and the details that were given."""
        details: dict[str, Json] = {
            "seconds": self.seconds,
            "status": self.status,
            "reset": self.reset,
            "end": self.end,
            "body": self.body,
        }
        return {"kind": self.kind.value} | {name: value for name, value in details.items() if value is not None}


def _only(fitting: bool, kind: Kind, detail: str) -> None:
    if not fitting:
        raise BadInputError(f"{kind.value} has no use for {detail}")


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a fault is for; what is left out matches everything."""

    methods: frozenset[str] = frozenset()
    text_contains: str | None = None
    visitor_id: str | None = None
    path_contains: str | None = None

    def fits(self, request: Incoming, visitor_id: str | None) -> bool:
        """Tell whether a request is meant; the visitor may be known from the message it is about."""
        return (
            (not self.methods or request.method in self.methods)
            and (self.text_contains is None or self.text_contains in (request.text or ""))
            and (self.visitor_id is None or self.visitor_id == visitor_id)
            and (self.path_contains is None or self.path_contains in request.path)
        )

    def as_json(self) -> dict[str, Json]:
        """Show the conditions that were given."""
        conditions: dict[str, Json] = {
            "methods": sorted(self.methods) or None,
            "text_contains": self.text_contains,
            "visitor_id": self.visitor_id,
            "path_contains": self.path_contains,
        }
        return {name: value for name, value in conditions.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Chance:
    """A fault that strikes matching requests with a probability."""

    fault: Fault
    probability: float
    match: Match = Match()

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        if not 0 <= self.probability <= 1:
            raise BadInputError("probability: expected 0 to 1")

    def as_json(self) -> dict[str, Json]:
        """Show it in the form in which it is given."""
        return self.fault.as_json() | self.match.as_json() | {"probability": self.probability}


@dataclass(frozen=True, slots=True)
class Scripted:
    """A fault for the next matching requests: so many, or with None all until it is removed."""

    fault: Fault
    times: int | None = 1
    match: Match = Match()
    id: int = 0

    def __post_init__(self) -> None:
        """Refuse an entry that could never strike."""
        if self.times is not None and self.times < 1:
            raise BadInputError("times: expected 1 or more, or null for every request")

    def as_json(self) -> dict[str, Json]:
        """Show it in the form in which it is given, with its id and the times that are left."""
        return {"id": self.id} | self.fault.as_json() | self.match.as_json() | {"times": self.times}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What befalls one request: seconds of delay, and a settled fault or none."""

    delay: float = 0.0
    fault: Fault | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds that befell it."""
        slow = (Kind.LATENCY.value,) if self.delay else ()
        return slow if self.fault is None else (*slow, self.fault.kind.value)


class Faults:
    """The chances and the script in force."""

    def __init__(
        self,
        chances: Iterable[Chance] = (),
        seed: int | None = None,
        dice: Callable[[int | None], Random] = Random,
    ) -> None:
        self.chances: tuple[Chance, ...] = tuple(chances)
        self.script: tuple[Scripted, ...] = ()
        self._dice = dice
        self._random = dice(seed)
        self._last_id = 0

    def set_chances(self, chances: Iterable[Chance]) -> None:
        """Replace every chance."""
        self.chances = tuple(chances)

    def seed(self, seed: int) -> None:
        """Start the dice from a known point."""
        self._random = self._dice(seed)

    def add(self, entry: Scripted) -> Scripted:
        """Put an entry at the end of the script."""
        self._last_id += 1
        numbered = replace(entry, id=self._last_id)
        self.script = (*self.script, numbered)
        return numbered

    def remove(self, entry_id: int) -> bool:
        """Take an entry out of the script."""
        kept = tuple(entry for entry in self.script if entry.id != entry_id)
        found = len(kept) < len(self.script)
        self.script = kept
        return found

    def clear(self) -> None:
        """Let everything go well from here on."""
        self.chances = ()
        self.script = ()

    def strike(self, request: Incoming, visitor_id: str | None) -> Verdict:
        """Decide what befalls a request, and use up what the script had for it."""
        if not self.chances and not self.script:
            return Verdict()
        slow = self._next(request, visitor_id, latency=True)
        fault = self._next(request, visitor_id, latency=False)
        return Verdict(delay=(slow.seconds or 0.0) if slow else 0.0, fault=fault)

    def as_json(self) -> dict[str, Json]:
        """Show everything in force."""
        return {
            "rates": [chance.as_json() for chance in self.chances],
            "script": [entry.as_json() for entry in self.script],
        }

    def _next(self, request: Incoming, visitor_id: str | None, *, latency: bool) -> Fault | None:
        for entry in self.script:
            if (entry.fault.kind is Kind.LATENCY) is latency and entry.match.fits(request, visitor_id):
                self._use_up(entry)
                return entry.fault.settled(self._random)
        fitting = [
            chance
            for chance in self.chances
            if (chance.fault.kind is Kind.LATENCY) is latency and chance.match.fits(request, visitor_id)
        ]
        return self._roll(fitting)

    def _roll(self, chances: Sequence[Chance]) -> Fault | None:
        if not chances:
            return None
        rolled = self._random.random()
        for chance in chances:
            if rolled < chance.probability:
                return chance.fault.settled(self._random)
            rolled -= chance.probability
        return None

    def _use_up(self, used: Scripted) -> None:
        if used.times is None:
            return
        left = used.times - 1
        self.script = tuple(
            replace(entry, times=left) if entry.id == used.id else entry
            for entry in self.script
            if left or entry.id != used.id
        )


_FAULT_FIELDS = ("kind", "seconds", "status", "reset", "end", "body")
_MATCH_FIELDS = ("methods", "text_contains", "visitor_id", "path_contains")


def read_chance(document: Json) -> Chance:
    """Read a chance from JSON."""
    fields = Fields(document, (*_FAULT_FIELDS, *_MATCH_FIELDS, "probability"))
    probability = fields.number("probability")
    if probability is None:
        raise BadInputError("probability is missing")
    return Chance(_read_fault(fields), probability, _read_match(fields))


def read_scripted(document: Json) -> Scripted:
    """Read an entry of the script from JSON; `times` is 1 when left out and unlimited when null."""
    fields = Fields(document, (*_FAULT_FIELDS, *_MATCH_FIELDS, "times"))
    times = fields.whole("times") if fields.given("times") else 1
    return Scripted(_read_fault(fields), times, _read_match(fields))


def parse_chance(written: str) -> Chance:
    """Read `KIND=P`, `KIND=P@DETAIL` or `METHOD,METHOD:KIND=P`.

    The detail is the seconds of a delay or a hang, the status of an error, or the reset of a rate limit.
    """
    methods, colon, rest = written.rpartition(":")
    name, equals, amount = rest.partition("=")
    if not equals:
        raise BadInputError(f"fault: {written!r} is not of the form kind=probability")
    probability, _, detail = amount.partition("@")
    kind = _kind(name.strip())
    return Chance(
        fault=_with_detail(kind, detail.strip()),
        probability=_number("probability", probability),
        match=Match(methods=_methods(methods.split(",")) if colon else frozenset()),
    )


def _with_detail(kind: Kind, written: str) -> Fault:
    if not written:
        return Fault(kind)
    amount = _number("detail", written.removesuffix("s"))
    if kind in _SECONDS:
        return Fault(kind, seconds=amount)
    if kind is Kind.RATE_LIMITED:
        return Fault(kind, reset=int(amount))
    return Fault(kind, status=int(amount))


def _number(name: str, written: str) -> float:
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadInputError(f"{name}: {written!r} is not a number")
    return number


def _kind(name: str) -> Kind:
    try:
        return Kind(name)
    except ValueError:
        raise BadInputError(f"kind: {name!r} is none of {', '.join(Kind)}") from None


def _methods(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.strip().upper() for name in names if name.strip())


def _read_fault(fields: Fields) -> Fault:
    kind, end = fields.text("kind"), fields.text("end")
    if kind is None:
        raise BadInputError("kind is missing")
    if end is not None and end not in set(End):
        raise BadInputError(f"end: {end!r} is none of {', '.join(End)}")
    return Fault(
        kind=_kind(kind),
        seconds=fields.number("seconds"),
        status=fields.whole("status"),
        reset=fields.whole("reset"),
        end=None if end is None else End(end),
        body=fields.text("body"),
    )


def _read_match(fields: Fields) -> Match:
    return Match(
        methods=_methods(fields.texts("methods") or ()),
        text_contains=fields.text("text_contains"),
        visitor_id=fields.text("visitor_id"),
        path_contains=fields.text("path_contains"),
    )

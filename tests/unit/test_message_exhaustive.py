"""Every state a message can come to, explored breadth-first over the Lua that decides and a small model of the API.

The model holds what the ledger cannot see: the copies that really exist, and which creates are without a known
outcome. Each state is a record and a model; every job, every claim, every outcome of the call in the air, and
every late answer lead on from it. States that differ only in names or in the clock are one state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any, NamedTuple

import pytest
from lupa import lua51
from pushledger.ledger import Claimed
from pushledger_worker.answer import Answered, Dropped, NotSent, Unanswered
from pushledger_worker.plan import Call, Edit, Remove, Send, plan
from pushledger_worker.verdict import Limits, Standing, verdict

NOW = 1_000_000
SETTLE_DELAY = 30
EXPIRES_IN = 10

Fields = dict[str, str]
Record = tuple[tuple[str, str], ...]


def message_source() -> str:
    """All that is pure: the files that no redis.call stands in."""
    folder = files("pushledger.ledger") / "lua"
    names = ("message", "jobs", "calls", "decisions")
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


class Violation(AssertionError):
    """A promise or a rule does not hold."""


def must(holds: object, rule: str) -> None:
    if not holds:
        raise Violation(rule)


# ---------------------------------------------------------------- jobs


def job(verb: str, text: str = "", target: str = "", version: str = "", expires_in: int | None = None) -> Fields:
    return {
        "verb": verb,
        "life": "new",
        "priority": "normal",
        "not_before": "",
        "expires_at": "" if expires_in is None else str(NOW + expires_in),
        "version": version,
        "max_resends": "",
        "kind": "pushed" if target else "",
        "target": target,
        "target_digest": target,
        "lane": target,
        "text": text,
        "text_digest": text,
    }


PLAIN = (
    job("create", "A", "T1"),
    job("create", "B", "T1"),
    job("create", "A", "T2"),
    job("update", "A"),
    job("update", "B"),
    job("upsert", "A", "T1"),
    job("upsert", "B", "T1"),
    job("upsert", "A", "T2"),
    job("delete"),
)
CORE = (
    job("create", "A", "T1"),
    job("create", "A", "T2"),
    job("update", "B"),
    job("upsert", "A", "T1"),
    job("delete"),
)
VERSIONED = (
    job("create", "A", "T1", version="1"),
    job("update", "B", version="2"),
    job("upsert", "A", "T1", version="3"),
    job("upsert", "B", "T1", version="1"),
    job("upsert", "B", "T2", version="3"),
    job("delete", version="2"),
    job("update", "A"),
    job("delete"),
)
EXPIRING = (
    job("create", "A", "T1", expires_in=EXPIRES_IN),
    job("upsert", "B", "T1", expires_in=EXPIRES_IN),
    job("update", "A", expires_in=0),
    job("upsert", "A", "T1"),
    job("create", "A", "T2"),
    job("delete"),
)


# ---------------------------------------------------------------- states


class Copy(NamedTuple):
    """A message that visitors can see, made by create number ``number``."""

    number: int
    text: str
    target: str


class Open(NamedTuple):
    """A create without a known outcome: of this life or an earlier one; ``answer``: its id may still come in."""

    number: int
    this_life: bool
    happened: bool
    answer: bool


class Air(NamedTuple):
    """The call in the air as its worker makes it, and what was known before it."""

    call: str
    number: int
    text: str
    target: str
    again: bool
    known: str


class Model(NamedTuple):
    """What is so, whatever the ledger thinks."""

    newest: tuple[str, str, str] = ("", "", "")  # wish, text, target as last accepted
    version: int = -1
    copies: tuple[Copy, ...] = ()
    open: tuple[Open, ...] = ()
    condemned: frozenset[int] = frozenset()  # copies whose removal was claimed (R2)
    known: str = ""  # the text that the current copy shows for sure, as answers said
    resends: int = 0
    quiet: int = 0  # time until an unknown outcome is settled (R1)
    air: Air | None = None

    def numbers(self) -> list[int]:
        return [one.number for one in self.open] + [copy.number for copy in self.copies]


class State(NamedTuple):
    record: Record
    model: Model


# Counted and shown, but nothing is decided by them here: max_claims has a test of its own.
_DROPPED = {
    "events",
    "since",
    "accepted_at",
    "waiting_since",
    "failing_since",
    "error",
    "lane",
    "priority",
    "v",
    "attempts",
    "claims",
}
_TIMES = ("due", "retry_at", "quiet_until", "expires_at")
_CONSTANT = {"revision": "1", "call_revision": "1", "life": "old", "lease": "leased"}


def number_of(name: str) -> int:
    return int(name[1:])


def canonical(fields: Fields, model: Model, now: int) -> State:
    """The state with creates renumbered by their place and the clock set back, so that equal states are equal."""
    passed = now - NOW
    record: Fields = {}
    for name, value in fields.items():
        if name in _DROPPED or value in ("", "0"):
            continue
        if name in _TIMES:
            left = int(value) - now
            # Whether an expiry is over or just now over makes no difference, nor does a wait that is over.
            if left > 0 or name in ("due", "expires_at"):
                record[name] = str(NOW + max(left, 0))
        else:
            record[name] = _CONSTANT.get(name, value)
    renamed: dict[int, int] = {}

    def rename(number: int) -> int:
        return renamed.setdefault(number, len(renamed) + 1)

    def rename_word(word: str) -> str:
        return word[0] + str(rename(number_of(word)))

    if "message_id" in record:
        record["message_id"] = rename_word(record["message_id"])
    if "doomed" in record:
        entries = (entry.split(" ") for entry in record["doomed"].split("\n"))
        record["doomed"] = "\n".join(f"{kind} {rename_word(word)}" for kind, word in entries)
    for name in ("unknown", "unknown_before"):
        if name in record:
            record[name] = " ".join(rename_word(word) for word in record[name].split(" "))
    for name in ("token", "call_id"):
        if record.get(name, "call") != "call":
            record[name] = rename_word(record[name])
    for number in model.numbers():
        rename(number)
    air = model.air
    model = model._replace(
        copies=tuple(sorted(one._replace(number=rename(one.number)) for one in model.copies)),
        open=tuple(sorted(one._replace(number=rename(one.number)) for one in model.open)),
        condemned=frozenset(renamed[number] for number in model.condemned if number in renamed),
        quiet=max(0, model.quiet - passed),
        air=air and air._replace(number=rename(air.number)),
    )
    return State(tuple(sorted(record.items())), model)


# ---------------------------------------------------------------- the machine under test


class Machine:
    """The message in a Lua 5.1 of its own."""

    def __init__(self, source: str, max_resends: int = 1) -> None:
        self._lua = lua51.LuaRuntime(unpack_returned_tuples=True)
        self._message = self._lua.execute(source + "\nreturn Message")
        policy = {
            "max_resends": str(max_resends),
            "settle_delay": SETTLE_DELAY,
            "max_claims": 1000,
            "lost": "lost",
            "fold_for": 0,
        }
        self._policy = self._lua.table_from(policy)
        self._jobs: dict[int, tuple[Fields, Any]] = {}

    def open(self, record: Record) -> Any:
        return self._message.new(self._lua.table_from(dict(record)))

    def read(self, m: Any) -> Fields:
        return {name: value for name, value in m.items() if name != "events"}

    def accept(self, m: Any, wanted: Fields) -> tuple[str | None, str | None]:
        table = self._jobs.setdefault(id(wanted), (wanted, self._lua.table_from(wanted)))[1]
        reply = self._message.accept(m, table, self._policy, str(NOW))
        return reply if isinstance(reply, tuple) else (reply, None)

    def gap(self, m: Any) -> str | None:
        call = self._message.gap(m)
        name: str | None = call[0] if isinstance(call, tuple) else call
        return name

    def as_claimed(self, m: Any) -> tuple[str, str, str, str]:
        """Call, message id, text and target, as the answer to a claim tells a worker."""
        seen = self._message.as_claimed(m)
        call, _, message_id = self._message.gap(seen)
        return call, message_id, seen.text, seen.target

    def planned(self, m: Any) -> Call | None:
        """What the worker makes of the answer to a claim."""
        seen = self._message.as_claimed(m)
        doomed = tuple(entry.split(" ", 1) for entry in seen.doomed.split("\n") if entry)
        return plan(
            Claimed(
                local_id="m",
                token=m.token,
                kind=seen.kind,
                wish=seen.wish,
                text=seen.text,
                text_digest=seen.text_digest,
                target=seen.target,
                message_id=seen.message_id,
                shown_digest=seen.shown_digest,
                doomed=tuple((kind, message_id) for kind, message_id in doomed),
                revision=1,
                attempts=0,
                failing_for=timedelta(0),
                waiting_for=timedelta(0),
            )
        )

    def take(self, m: Any, token: str, now: int) -> bool:
        """What claim.lua does with a message that is due."""
        if self._message.is_expired(m, str(now)) and self.gap(m):
            self._message.expire(m, str(now))
            return False
        self._message.rest(m, self._policy, str(now))
        if m.state not in ("queued", "retrying") or int(m.due) > now:
            return False
        m.due = ""
        self._message.claim(m, token, str(now + 100), str(now))
        return True

    def settle(self, m: Any, kind: str, message_id: str = "", give_up: bool = False) -> None:
        outcome = {
            "kind": kind,
            "message_id": message_id,
            "call_kind": "pushed",
            "status": "",
            "error": "",
            "summary": "",
        }
        outcome |= {"retry_in": "0", "attempt": "1", "give_up": "1" if give_up else "0"}
        self._message.settle(m, self._lua.table_from(outcome), self._policy, str(NOW))

    def take_back(self, m: Any) -> None:
        m.lease = str(NOW)
        self._message.take_back(m, self._policy, str(NOW))

    def late(self, m: Any, number: int) -> None:
        self._message.late(m, f"t{number}", "pushed", f"m{number}", self._policy, str(NOW))


# ---------------------------------------------------------------- steps

Step = tuple[str, State]


class Explorer:
    """All steps that lead on from a state, each checked as it is made."""

    def __init__(self, source: str, jobs: tuple[Fields, ...], max_resends: int, most_open: int) -> None:
        self.machine, self.jobs = Machine(source, max_resends), jobs
        self.max_resends, self.most_open = max_resends, most_open
        self._checked: set[State] = set()

    def steps(self, state: State, with_jobs: bool) -> Iterator[Step]:
        fields = dict(state.record)
        if with_jobs:
            for wanted in self.jobs:
                yield from self._job(state, wanted)
        if fields.get("state") in ("queued", "retrying"):
            yield self._claim(state, fields)
        if state.model.air:
            for outcome in _OUTCOMES[state.model.air.call]:
                step = self._outcome(state, fields, outcome)
                if step:
                    yield step
        for one in state.model.open:
            if one.happened and one.answer:
                yield self._late(state, one)

    def _done(self, m: Any, model: Model, now: int = NOW) -> State:
        fields = self.machine.read(m)
        if fields["state"] not in ("queued", "retrying"):
            fields["due"] = ""  # store.lua does so
        state = canonical(fields, model, now)
        if state not in self._checked:
            self._check(state, m)
            self._checked.add(state)
        return state

    def _job(self, state: State, wanted: Fields) -> Iterator[Step]:
        model, m = state.model, self.machine.open(state.record)
        before = dict(state.record)
        outcome, rule = self.machine.accept(m, wanted)
        label = " ".join(filter(None, (wanted["verb"], wanted["text"], wanted["target"], wanted["version"])))
        version = int(wanted["version"] or -1)
        if outcome is None:
            must(self._unchanged(m, state), f"a refused job changes nothing ({rule})")
            if wanted["verb"] == "delete":
                must(not before, "a delete is refused for an unknown id only")
            return
        must(not (outcome != "stale" and -1 < version < model.version), "an older version is stale (R14)")
        if outcome == "stale":
            must(-1 < version < model.version, "only an older version is stale (R14)")
            must(self._unchanged(m, state), "a stale job changes nothing (R14)")
            return
        wish = ("gone", "", "") if wanted["verb"] == "delete" else ("show", wanted["text"], wanted["target"])
        if wanted["verb"] == "update":
            must(model.newest[0] == "show", "an update fits a live message only")
            wish = (*wish[:2], model.newest[2])
        elif wish[0] == "gone":
            wish = ("gone", "", model.newest[2])
        if outcome == "unchanged":
            # A repetition, by version or by a second delete, needs no look at what the visitor sees.
            repeated = wish == model.newest and (wish[0] == "gone" or -1 < version == model.version)
            shown = wish[0] == "show" and model.known == wish[1] and m.state == "delivered"
            must(repeated or shown, "unchanged is what the visitor sees for sure (R3)")
            must(
                repeated <= (version != -1 or before["state"] != "failed"), "a failed removal is tried again when asked"
            )
        if outcome == "cancelled":
            must(wish[0] == "gone" and m.state == "deleted", "cancelled is a delete that needs no call")
        elif wish[0] == "gone" and m.state == "deleted":
            must(before.get("state") == "deleted", "a delete that needs no call is cancelled")
        if m.life == "new":
            open_in_life = any(one.this_life for one in model.open)
            resolved = before.get("message_id") or before.get("life_over")
            must(
                not open_in_life or resolved, "no life begins while the old create's outcome is unknown (R5, promise 5)"
            )
            model = model._replace(open=tuple(one._replace(this_life=False) for one in model.open), known="")
        elif before and before.get("state") != "deleted" and wish[0] == "show":
            must(wish[2] == before.get("target"), "the target is fixed for a life (R5)")
        model = model._replace(newest=wish, version=max(version, model.version))
        yield f"{label} -> {outcome}", self._done(m, model)

    def _unchanged(self, m: Any, state: State) -> bool:
        return self.machine.read(m) == dict(state.record)

    def _claim(self, state: State, fields: Fields) -> Step:
        now, model = int(fields["due"]), state.model
        m = self.machine.open(state.record)
        call = self.machine.gap(m)
        fresh = 1 + max((number_of(w) for w in _numbered(fields)), default=0)
        fresh = max(fresh, 1 + max(model.numbers(), default=0))
        if not self.machine.take(m, f"t{fresh}" if call == "send" else "call", now):
            must(m.state not in ("queued", "retrying"), "what is due is claimed or brought to rest")
            return "no call", self._done(m, model, now)
        must(now - NOW >= model.quiet, "no call goes out before an unknown outcome has settled (R1)")
        wish, text, target = model.newest
        number = fresh if m.call == "send" else number_of(m.call_id)
        air = Air(m.call, number, m.text, m.target, False, model.known)
        if m.call == "send":
            open_in_life = any(one.this_life for one in model.open)
            must(wish == "show", "what shall be gone is not sent (R9)")
            must((m.text, m.target) == (text, target), "a create carries the newest wish")
            must(
                not any(one.this_life and not one.answer for one in model.open),
                "a create without id is not re-sent (R9)",
            )
            air = air._replace(again=open_in_life)
            model = model._replace(resends=model.resends + open_in_life)
            must(
                model.resends <= self.max_resends, "an unknown create is re-sent at most max_resends times (promise 5)"
            )
        elif m.call == "edit":
            must(wish == "show" and m.text == text, "an edit carries the newest wish")
            must(model.known != text, "no edit is made to a text that shows already (promise 3)")
            must(number not in model.condemned, "a copy whose removal was claimed is not edited (R2)")
            must(
                all(c.target == target for c in model.copies if c.number == number),
                "an edit stays with its target (R5)",
            )
            model = model._replace(known="")
        else:
            current = m.call_id == m.message_id
            must(not current or wish == "gone", "a removal goes to what shall be gone")
            if current:
                model = model._replace(condemned=model.condemned | {number}, known="")
        return f"claim {m.call}", self._done(m, model._replace(air=air), now)

    def _outcome(self, state: State, fields: Fields, outcome: str) -> Step | None:
        model, air = state.model, state.model.air
        assert air is not None
        model = model._replace(air=None)
        kind, *options = outcome.split()
        happened = kind == "confirmed" or "effect" in options
        unknown = kind in ("unknown", "lost")
        there = any(copy.number == air.number for copy in model.copies)
        if air.call == "edit" and kind == "confirmed" and not there:
            return None  # the API would answer 404
        if happened:
            model = _carried_out(model, air)
        if air.call == "send":
            kept_open = unknown or "without-id" in options
            if kept_open and len(model.open) >= self.most_open:
                return None
            if kept_open:
                one = Open(air.number, this_life=True, happened=happened, answer=unknown)
                model = model._replace(open=(*model.open, one))
            elif kind in ("unsent", "refused"):
                model = model._replace(resends=model.resends - air.again)
        if kind == "gone":
            model = model._replace(copies=tuple(copy for copy in model.copies if copy.number != air.number))
        if unknown:
            model = model._replace(quiet=SETTLE_DELAY)
        current = fields.get("message_id")
        if kind == "confirmed" and air.call == "send" and not current and not kept_open:
            model = model._replace(known=air.text)
        elif air.call == "edit" and current == f"m{air.number}":
            if kind == "confirmed":
                model = model._replace(known=air.text)
            elif kind in ("unsent", "refused"):
                model = model._replace(known=air.known)
        elif air.call == "remove" and current == f"m{air.number}" and kind in ("unsent", "refused"):
            model = model._replace(known=air.known)

        m = self.machine.open(state.record)
        message_id = f"m{air.number}" if air.call == "send" and kind == "confirmed" and not kept_open else ""
        if kind == "lost":
            self.machine.take_back(m)
        else:
            self.machine.settle(m, kind, message_id, "give-up" in options)
        if air.call == "send" and current:
            must(m.state != "failed", "a create that is no longer needed fails no message (R8)")
        after = self._done(m, model)
        if message_id:
            # The reply was lost and the worker settles again: its token is stale now.
            self.machine.late(m, air.number)
            must(self._done(m, model) == after, "settling twice changes nothing the second time (promise 7)")
        return f"{air.call} {outcome}", after

    def _late(self, state: State, one: Open) -> Step:
        model, m = state.model, self.machine.open(state.record)
        before, name = dict(state.record), f"m{one.number}"
        self.machine.late(m, one.number)
        adopted = m.message_id == name
        may_adopt = one.this_life and not before.get("message_id") and not before.get("life_over")
        must(adopted == may_adopt, "a late id is adopted exactly if this life waits for it (R8)")
        must(adopted or f"pushed {name}" in m.doomed.split("\n"), "a late id that is not adopted is removed (R8)")
        model = model._replace(open=tuple(other for other in model.open if other != one))
        after = self._done(m, model)
        self.machine.late(m, one.number)
        must(self._done(m, model) == after, "a late answer that comes twice changes nothing (R8)")
        return "late answer", after

    # ------------------------------------------------------------ invariants

    def _check(self, state: State, m: Any) -> None:
        fields, model = dict(state.record), state.model
        get = fields.get
        name = fields["state"]
        wish, text, target = model.newest
        listed = {number_of(w) for w in (get("unknown", "") + " " + get("unknown_before", "")).split()}
        doomed = [number_of(entry.split(" ")[1]) for entry in get("doomed", "").split("\n") if entry]
        current = number_of(fields["message_id"]) if get("message_id") else 0
        must((name == "sending") == bool(get("token")), "sending exactly while a token is out (promise 4)")
        must((name == "sending") == (model.air is not None), "one call at a time (promise 4)")
        must(get("wish") == wish, "the wish is the newest accepted (promise 2)")
        must(wish == "gone" or (get("text"), get("target")) == (text, target), "the newest text is kept (promise 1)")
        must(
            int(get("resent", "0")) == model.resends, "re-sends are counted, what was not processed is not (promise 5)"
        )
        must(listed == {one.number for one in model.open}, "each create of unknown outcome is listed, no other (R6)")
        reachable = {current, *doomed, *listed} | ({model.air.number} if model.air else set())
        must({c.number for c in model.copies} <= reachable, "no copy is out of sight")
        if model.air:
            call, number, sent, *_ = model.air
            seen = self.machine.as_claimed(self.machine.open(state.record))
            must(seen[0] == call and seen[1] in ("", f"m{number}"), "a claim asked again answers with the same call")
            planned = self.machine.planned(self.machine.open(state.record))
            must(type(planned).__name__.lower() == call, "the worker plans the call that the ledger noted")
            must(getattr(planned, "message_id", "") == seen[1], "and plans it for the same copy")
            must(getattr(planned, "text", seen[2]) == seen[2], "with the same text")
            must(call == "remove" or seen[2] == sent, "a claim asked again carries the same text")
            must(call != "send" or seen[3] == model.air.target, "a claim asked again goes to the same target")
        if name in ("queued", "retrying"):
            must(get("due") and self.machine.gap(m), "what waits has a call and a time")
            must(int(fields["due"]) - NOW >= model.quiet, "what waits, waits until unknown outcomes settled (R1)")
        elif name == "delivered":
            must(wish == "show" and not doomed, "delivered is what the shop wants shown")
            must(Copy(current, text, target) in model.copies, "the known copy shows the newest text (promise 2)")
        elif name == "deleted":
            must(wish == "gone" and not model.copies and not model.open, "deleted leaves no copy behind (R6)")
        elif name == "held":
            must(get("reason") and model.open, "held has a reason: a create of unknown outcome")
        elif name == "expired":
            unknown = any(one.this_life for one in model.open) and not current
            must(not unknown, "an unknown create whose time is over is held, not expired (R9)")
        else:
            must(name in ("sending", "failed"), f"a state of the eight, not {name!r}")
        if name == "failed":
            must(get("reason"), "a failure has a reason")


_OUTCOMES = {
    "send": (
        "confirmed",
        "confirmed without-id",
        "unknown effect",
        "unknown",
        "lost effect",
        "lost",
        "unsent",
        "unsent give-up",
        "refused",
    ),
    "edit": (
        "confirmed",
        "unknown effect",
        "unknown",
        "unknown give-up",
        "lost effect",
        "lost",
        "unsent",
        "unsent give-up",
        "refused",
        "gone",
    ),
    "remove": ("confirmed", "unknown effect", "unknown", "lost effect", "lost", "unsent", "unsent give-up", "refused"),
}


def _numbered(fields: Fields) -> Iterator[str]:
    for name in ("message_id", "unknown", "unknown_before", "doomed"):
        yield from (word for word in fields.get(name, "").split() if word != "pushed")


def _carried_out(model: Model, air: Air) -> Model:
    others = tuple(copy for copy in model.copies if copy.number != air.number)
    if air.call == "send":
        return model._replace(copies=(*others, Copy(air.number, air.text, air.target)))
    if air.call == "remove":
        return model._replace(copies=others)
    edited = (copy._replace(text=air.text) for copy in model.copies if copy.number == air.number)
    return model._replace(copies=(*others, *edited))


@dataclass(frozen=True)
class Explored:
    states: int
    names: frozenset[str]


def explore(source: str, jobs: tuple[Fields, ...], most_jobs: int, max_resends: int, most_open: int = 2) -> Explored:
    """Walk through every state that ``most_jobs`` jobs can lead to, with at most ``most_open`` creates of unknown
    outcome at a time. Raises Violation with the way there."""
    explorer = Explorer(source, jobs, max_resends, most_open)
    start = State((), Model())
    came: dict[State, tuple[State | None, str]] = {start: (None, "")}
    used = {start: 0}
    rest: dict[State, State | None] = {}
    waiting, done = deque([start]), set[State]()
    while waiting:
        state = waiting.popleft()
        if state in done:
            continue
        done.add(state)
        try:
            for label, after in explorer.steps(state, used[state] < most_jobs):
                cost = used[state] + (" -> " in label)
                # What goes well is walked on to its end below.
                if label.startswith(("claim", "no call")) or label.endswith(" confirmed"):
                    rest[state] = after
                elif label == "edit gone":
                    rest.setdefault(state, after)
                if cost < used.get(after, most_jobs + 1):
                    used[after], came[after] = cost, (state, label)
                    # Steps that cost no job first: so each state is met with the fewest jobs.
                    (waiting.append if cost > used[state] else waiting.appendleft)(after)
        except Violation as violation:
            raise Violation(f"{violation}\nafter: " + " | ".join(_way(came, state))) from None
    _check_comes_to_rest(came, rest)
    return Explored(len(came), frozenset(dict(state.record).get("state", "") for state in came))


def _way(came: dict[State, tuple[State | None, str]], state: State) -> list[str]:
    labels: list[str] = []
    at: State | None = state
    while at is not None:
        at, label = came[at]
        labels.append(label)
    return [label for label in reversed(labels) if label]


def _check_comes_to_rest(came: dict[State, tuple[State | None, str]], rest: dict[State, State | None]) -> None:
    calm: set[State] = set()
    for state in came:
        at, path = state, list[State]()
        while at not in calm and at in rest:
            path.append(at)
            must(len(path) < 30, "a message whose calls go well comes to rest\nafter: " + " | ".join(_way(came, state)))
            at = rest[at] or at
        name = dict(at.record).get("state", "")
        stuck = name in ("queued", "retrying", "sending") and at not in calm
        must(not stuck, f"nothing is stuck (promise 1): {name}\nafter: " + " | ".join(_way(came, at)))
        calm.update((at, *path))


# ---------------------------------------------------------------- tests

RUNS = [
    pytest.param(PLAIN, 5, 0, 2, id="never-re-sent"),
    pytest.param(CORE, 3, 1, 2, id="re-sent-once"),
    pytest.param(CORE, 5, 1, 1, id="five-jobs"),
    pytest.param(PLAIN, 2, 1, 2, id="every-job"),
    pytest.param(PLAIN, 1, 2, 3, id="re-sent-twice"),
    pytest.param(VERSIONED, 2, 1, 1, id="versions"),
    pytest.param(EXPIRING, 2, 1, 2, id="expiry"),
]


@pytest.mark.parametrize(("jobs", "most_jobs", "max_resends", "most_open"), RUNS)
def test_every_reachable_state_keeps_the_promises(
    jobs: tuple[Fields, ...], most_jobs: int, max_resends: int, most_open: int
) -> None:
    """Promises 1 to 5 and 7, rules R1 to R3, R5, R6, R8, R9 and R14, wherever any order of events leads."""
    explored = explore(message_source(), jobs, most_jobs, max_resends, most_open)

    assert {"queued", "sending", "retrying", "delivered", "held", "failed"} <= explored.names
    assert explored.states > 1000, "the exploration went somewhere"


Mutant = tuple[str, str]
MUTANTS: dict[str, Mutant] = {
    "R1: an unknown outcome is not waited for": ("m.quiet_until = later(", "m.ignored = later("),
    "R2: a claimed removal is forgotten": ("if call == 'remove' then m.remove_claimed = '1' end", ""),
    "R2: the old copy of a life is not removed": ("then doom(m, m.kind, m.message_id) end\n  keep", "then end\n  keep"),
    "R3: a claim leaves the remote text known": ("m.call_shown, m.shown_digest = m.shown_digest, ''", ""),
    "R5: a create with another target keeps the life": (
        "or not same_target(m, job) then begin_life",
        "then begin_life",
    ),
    "R5: another target while the old create is unknown": (
        "and unresolved then return nil",
        "and false then return nil",
    ),
    "R6: what may remain counts as deleted": ("return hold(m, 'copy_may_remain', now)", ""),
    "R6: a new life forgets unknown creates": ("m.unknown_before = add(m.unknown_before, token, ' ')", ""),
    "R8: a late id is adopted whatever is known": ("if m.message_id == '' and listed and", "if"),
    "R8: a late id of an earlier life is adopted": ("m.message_id == '' and listed and", "m.message_id == '' and"),
    "R8: a late id is never adopted": ("if m.message_id == '' and listed and", "if false and"),
    "R8: a second answer to a create is dropped": ("doom(m, m.kind, outcome.message_id)", ""),
    "R8: a needless re-send fails the message": ("if m.call == 'send' and m.message_id ~= '' then return true end", ""),
    "R9: a create without id is re-sent": ("return m.no_id == '' and", "return"),
    "R9: an unknown create expires": (
        "if m.unknown ~= '' and m.message_id == '' then return hold",
        "if false then return hold",
    ),
    "R14: an older version is taken": ("num(job.version) < num(m.version)", "false"),
    "promise 2: a failed edit counts as done": (
        "m.shown_digest = m.call_shown end",
        "m.shown_digest = m.call_digest end",
    ),
    "promise 2: a 404 to an edit is taken for success": (
        "m.life_over, failure = '1', 'gone'",
        "m.shown_digest = m.call_digest",
    ),
    "promise 3: what was not processed makes the text unknown": ("then m.shown_digest = m.call_shown end", "then end"),
    "promise 4: a job takes a message out of the air": (
        "if m.token ~= '' then return become(m, 'sending', '', now) end",
        "",
    ),
    "promise 5: blind re-sends": ("num(m.resent) < num(limit) + num(m.granted)", "true"),
    "promise 5: a lost worker's create is forgotten": (
        "if m.call == 'send' then m.unknown = add(",
        "if m.error == '!' then m.unknown = add(",
    ),
    "promise 5: what was not processed uses a re-send up": (
        "if m.call_resend == '1' then m.resent =",
        "if false then m.resent =",
    ),
    "promise 5: a new life may re-send anew": (
        "m.unknown, m.no_id, m.granted = ",
        "m.resent = ''\n  m.unknown, m.no_id, m.granted = ",
    ),
    "a claim asked again carries a newer text": ("and m.call_text or m.text", "and m.text or m.text"),
    "a removal that failed cannot be asked for again": (
        "same_content(m, job) and m.state ~= 'failed'",
        "same_content(m, job)",
    ),
    "a delete of what was never sent counts as folded": ("if m.state == 'deleted' then return 'cancelled' end", ""),
}


SMALL_RUNS = ((EXPIRING, 1, 1, 1), (CORE, 2, 1, 2), (VERSIONED[:3], 2, 0, 1), (CORE, 3, 1, 1))


def first_violation(source: str) -> Violation | None:
    try:
        for jobs, most_jobs, max_resends, most_open in SMALL_RUNS:
            explore(source, jobs, most_jobs, max_resends, most_open)
    except Violation as violation:
        return violation
    return None


@pytest.mark.parametrize("name", MUTANTS)
def test_the_exploration_sees_a_broken_rule(name: str) -> None:
    """A rule taken out leads to a violation: the exploration is able to fail."""
    rule, broken = MUTANTS[name]
    source = message_source()
    assert source.count(rule) == 1, "the rule stands there, once"

    assert first_violation(source.replace(rule, broken)), "a violation was found"


# ---------------------------------------------------------------- the worker's verdict

LIMITS = Limits(
    backoff_first=timedelta(seconds=1),
    backoff_limit=timedelta(minutes=1),
    give_up_after=timedelta(hours=1),
    settle_delay=timedelta(seconds=30),
)
ANSWERS = [
    NotSent("refused"),
    Dropped(),
    Unanswered("reset"),
    *(Answered(status, {}, body) for status in range(100, 600) for body in ({}, {"id": "m1"})),
]
EXPLORED = {
    Send("pushed", "{}", "A"): {"confirmed", "unknown", "unsent", "refused"},
    Edit("pushed", "m1", "A"): {"confirmed", "unknown", "unsent", "refused", "gone"},
    Remove("pushed", "m1"): {"confirmed", "unknown", "unsent", "refused"},
}


@pytest.mark.parametrize("call", EXPLORED, ids=lambda call: type(call).__name__)
def test_the_verdict_on_every_answer_is_an_outcome_that_was_explored(call: Call) -> None:
    """No answer of any status leads the record where the exploration has not been."""
    standing = Standing(attempts=0, failing_for=timedelta(0), strikes=0)
    assert {verdict(call, answer, standing, LIMITS).kind for answer in ANSWERS} == EXPLORED[call]

"""Deliberately broken variants: each leaves one rule out, and the simulation must find it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache

from pushledger.ledger.scripts import Script, script

from simulation.world import Options

__all__ = ["VARIANTS", "Variant"]


@dataclass(frozen=True)
class Variant:
    """What is broken: text replaced in the scripts, or an option of the virtual workers."""

    name: str
    replaced: str = ""
    by: str = ""
    options: Options = field(default_factory=Options)

    def script(self, verb: str) -> Script:
        """The script for a verb, broken in this way."""
        return _broken(verb, self.replaced, self.by) if self.replaced else script(verb)


@cache
def _broken(verb: str, replaced: str, by: str) -> Script:
    source = script(verb).source.replace(replaced, by)
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


VARIANTS = (
    Variant(
        "R1: no settle delay after an unknown outcome",
        "m.quiet_until = later(m.quiet_until, num(now) + num(policy.settle_delay))",
        "outcome.retry_in = 1",
    ),
    Variant("R2: a claimed removal is forgotten", "or m.remove_claimed ~= ''", ""),
    Variant("R3: a claim leaves the remote text as known", "m.call_shown, m.shown_digest = m.shown_digest, ''", ""),
    Variant("R4: no send-by", options=Options(checks_send_by=False)),
    Variant("R5: the target may change within a life", "if live and not same_target(m, job) then", "if false then"),
    Variant("R6: a deletion that may leave a copy is final", "return hold(m, 'copy_may_remain', now)", ""),
    Variant("R7: jobs are not remembered", "    if receipt then", "    if false then"),
    Variant("R8: a late id is ignored", "elseif outcome.kind == 'confirmed' and", "elseif false and"),
    Variant(
        "R8: a late id is adopted whatever is known",
        "if m.message_id == '' and listed and m.life_over == '' then",
        "if true then",
    ),
    Variant(
        "R9: an unknown create whose wish is gone counts as deleted",
        "if m.unknown ~= '' or m.unknown_before ~= '' then",
        "if m.unknown_before ~= '' then",
    ),
    Variant("R9: a create without an id is sent again", "m.no_id == '' and", ""),
    Variant("R14: versions are ignored", "num(job.version) < num(m.version)", "false"),
    Variant("no token check", "local current = m.token == token", "local current = m.token ~= ''"),
    Variant("blind re-send", "num(m.resent) < num(limit) + num(m.granted)", "true"),
    Variant(
        "an expired lease counts as not sent",
        "Message.settle(m, { kind = 'unknown',",
        "Message.settle(m, { kind = 'unsent',",
    ),
    Variant("no budget", "free.all, free.common = math.min(free.all, all), math.min(free.common, common)", ""),
    Variant(
        "a budget slot is free when the call ends",
        "redis.call('ZADD', key, 'XX', tonumber(now) + window[2], token)",
        "redis.call('ZREM', key, token)",
        Options(jobs=40),
    ),
    Variant("a claim is not remembered", "if #ids > 0 then return answer_again() end", ""),
    Variant("a budget for each worker", options=Options(budget_per_worker=True)),
    Variant("account trouble costs the message", options=Options(blames_message=True)),
    Variant(
        "no fold: the first text waits",
        "  m.text, m.text_digest = job.text, job.text_digest",
        "  if not waiting then m.text, m.text_digest = job.text, job.text_digest end",
    ),
    Variant("R11: a pause is probed with a create", "if call and call ~= 'send' then", "if call then"),
    Variant("R13: whoever is tried again lets the others pass at once", ">= policy.lane_wait", ">= 0"),
    Variant("R13: no lanes", "call ~= 'send' or m.lane == '' or Lane.may_go(m, policy, now)", "true"),
    Variant(
        "R12: a call that was answered 429 gives its slot back",
        "outcome.kind == 'unsent' and outcome.status == ''",
        "true",
    ),
    Variant(
        "a ping costs nothing",
        "Budget.draw(windows, share, ping.token, lease, 'low')",
        "",
        Options(jobs=40),
    ),
    Variant(
        "each worker pings",
        "redis.call('ZADD', key, string.format('%.0f', tonumber(now) + policy.ping_every), agent)",
        "",
    ),
    Variant("a share of the budget counts twice", "math.min(free.all, free.common)", "free.common"),
)

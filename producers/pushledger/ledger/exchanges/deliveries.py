"""Exchanges of the workers: claim, settle, wake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import chain, starmap
from typing import Literal, cast

from pushledger.jobs import Kind
from pushledger.ledger.deliveries import Budget, Claim, Claimed, Settled, Settlement
from pushledger.ledger.exchange import Argument, Exchange, Reply, ScriptCall
from pushledger.ledger.exchanges.of_account import AT_ONCE, AccountExchange, named
from pushledger.ledger.exchanges.replies import items
from pushledger.ledger.policy import milliseconds
from pushledger.message import error_to_json

__all__ = ["DeliveryExchanges"]


class DeliveryExchanges(AccountExchange):
    """Take messages for delivery, and hand back what came of it."""

    __slots__ = ()

    def claim(self, claim_id: str, wanted: int, lease: timedelta, budget: Budget) -> Exchange[Claim]:
        """Take up to ``wanted`` messages for delivery."""
        call = self._claim_call(claim_id, wanted, lease, budget)
        return self.synced(Exchange((call,), lambda replies: _claim(replies[0])))

    def _claim_call(self, claim_id: str, wanted: int, lease: timedelta, budget: Budget) -> ScriptCall:
        return self.call(
            "claim", claim_id, wanted, milliseconds(lease), budget.render(), budget.high_share, *self.policy.arguments()
        )

    def settle(self, settlements: Sequence[tuple[Claimed, Settlement]], budget: Budget) -> Exchange[list[Settled]]:
        """Hand back what came of calls."""
        policy = self.policy.arguments()
        head = (budget.render(), len(policy), *policy)
        calls = tuple(
            self.call("settle", *head, *chain.from_iterable(starmap(_settlement, settlements[start : start + AT_ONCE])))
            for start in range(0, len(settlements), AT_ONCE)
        )
        return Exchange(calls, lambda replies: [_settled(reply) for reply in chain.from_iterable(map(items, replies))])

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
        return self.synced(Exchange(commands, lambda replies: (settles.read(replies[:-1]), _claim(replies[-1]))))

    def wake(self, asker: str, budget: Budget) -> Exchange[tuple[bool, timedelta | None]]:
        """Ask whether to send a wake-up now, and when there will be something to claim."""
        call = self.call("wake", budget.render(), budget.high_share, milliseconds(self.policy.wake_for), asker)

        def read(replies: Sequence[Reply]) -> tuple[bool, timedelta | None]:
            wake, next_in = cast("tuple[int, int]", replies[0])
            return bool(wake), _next_in(next_in)

        return Exchange((call,), read)

    def begin(self, budget: Budget) -> Exchange[None]:
        """Say that a delivery within this budget has begun: a heartbeat came through, and wake-ups are sent again."""
        return Exchange((self.call("begin", budget.high_share, budget.render()),), lambda _: None)


def _settlement(claimed: Claimed, settlement: Settlement) -> tuple[Argument, ...]:
    return (claimed.local_id, claimed.token, *named(_settlement_fields(claimed, settlement)))


def _settlement_fields(claimed: Claimed, settlement: Settlement) -> dict[str, Argument]:
    pause, heard = settlement.pause, settlement.heard
    return {
        "kind": settlement.kind,
        "message_id": settlement.message_id,
        "call_kind": claimed.kind,
        "agent": claimed.target if claimed.wish == "ping" else "",
        "status": "" if settlement.status is None else settlement.status,
        "error": "" if settlement.error is None else error_to_json(settlement.error),
        "summary": _summary(settlement),
        "retry_in": milliseconds(settlement.retry_in) or "",
        "attempt": "" if settlement.counts else 0,
        "give_up": 1 if settlement.give_up else "",
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
        wish=cast(Literal["show", "gone", "probe", "ping"], fields["wish"]),
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


def _settled(reply: Reply) -> Settled:
    taken, state = cast("tuple[Literal['settled', 'stale', 'late'], str]", reply)
    return Settled(taken, state)


def _next_in(milliseconds_left: int) -> timedelta | None:
    return None if int(milliseconds_left) < 0 else timedelta(milliseconds=int(milliseconds_left))

"""Doing something to many messages from the command line: counted first, then step by step, newest first."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from pushledger.errors import LedgerUnavailable
from pushledger.ledger import BulkAction, BulkStep, Filter
from pushledger.message import State
from pushledger.messages import AsyncMessages
from pushledger.output import print_json
from pushledger.parameters import account_named, operator

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

__all__ = ["Bulk", "do_to_many"]

_NONE = BulkStep(messages=0, calls=0, refused=0, looked_at=0, left=0, place=None)
_NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What to do to which messages; ``limit`` of None: to all that fit."""

    action: BulkAction
    state: State
    reason: str
    limit: int | None
    why: str


def do_to_many(bulk: Bulk, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Count, ask, do it and tell. It may be repeated: what it was done to has left the state.

    A dry run only counts. Without ``yes`` a person must agree. Never does it to more than were counted.
    """
    counted = asyncio.run(_go_through(bulk, dry_run=True))
    if dry_run or not counted.messages:
        return _tell(bulk, counted, dry_run, as_json)
    if not yes:
        click.confirm(f"{_said(bulk, counted)}. Go on?", abort=True, err=True)
    done = asyncio.run(_do(replace(bulk, limit=counted.messages), counted.messages))
    # It stops once it is done to as many as were counted, perhaps before it met all that it does not fit.
    return _tell(bulk, replace(done, refused=max(done.refused, counted.refused)), dry_run, as_json)


async def _do(bulk: Bulk, length: int) -> BulkStep:
    bar: ProgressBar[int]
    with click.progressbar(length=length, label=bulk.action, file=sys.stderr) as bar:
        return await _go_through(bulk, dry_run=False, did=bar.update)


async def _go_through(bulk: Bulk, *, dry_run: bool, did: Callable[[int], object] = lambda _: None) -> BulkStep:
    total = _NONE
    try:
        async with AsyncMessages.from_env(account_named()) as messages:
            async for step in _steps(messages, bulk, dry_run):
                total = _sum(total, step)
                did(step.messages)
    except LedgerUnavailable:
        if not dry_run:
            click.echo(f"{total.messages} were done before; the same command goes on with the rest", err=True)
        raise
    return total


async def _steps(messages: AsyncMessages, bulk: Bulk, dry_run: bool) -> AsyncIterator[BulkStep]:
    left, place = bulk.limit or _NO_LIMIT, None
    while left > 0:
        step = await messages.bulk(
            bulk.action,
            bulk.state,
            Filter(reason=bulk.reason),
            dry_run=dry_run,
            limit=left,
            place=place,
            by=operator(),
            why=bulk.why,
        )
        yield step
        left, place = left - step.messages, step.place
        if place is None:
            return


def _sum(one: BulkStep, other: BulkStep) -> BulkStep:
    return replace(
        other,
        messages=one.messages + other.messages,
        calls=one.calls + other.calls,
        refused=one.refused + other.refused,
        looked_at=one.looked_at + other.looked_at,
    )


def _tell(bulk: Bulk, step: BulkStep, dry_run: bool, as_json: bool) -> None:
    if as_json:
        counts = {"messages": step.messages, "calls": step.calls, "refused": step.refused}
        print_json({"action": bulk.action, "state": bulk.state, "dry_run": dry_run, **counts})
    else:
        click.echo(_said(bulk, step) + (" (nothing was done)" if dry_run else ""))


def _said(bulk: Bulk, step: BulkStep) -> str:
    refused = f"; {step.refused} more it does not fit" if step.refused else ""
    return f"{bulk.action}: {_number(step.messages, f'{bulk.state} message')}, {_number(step.calls, 'call')}{refused}"


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

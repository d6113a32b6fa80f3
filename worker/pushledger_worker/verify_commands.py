"""The verb that reads messages back from the API."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from itertools import takewhile
from typing import TypedDict, Unpack

import click
from pushledger.errors import UnknownLocalId
from pushledger.ledger import By, Drawn, Repairable
from pushledger.message import State
from pushledger.output import cell, print_json
from pushledger.parameters import ACCOUNT, JSON, account_named, duration_of, operator, utf_8
from pushledger.terminal import printable

from pushledger_worker.served import settings_for
from pushledger_worker.verification import Verified, open_verification

__all__ = ["verify"]

_WAIT_FOR_ONE = timedelta(seconds=10)
_WAIT_IN_A_WALK = timedelta(hours=1)
_WITH_IDS: tuple[State, ...] = ("delivered", "held", "failed", "expired")
_REPAIRS: frozenset[Repairable] = frozenset({"differs", "gone"})
_UNREAD_IN_A_ROW = 3  # one message may be unreadable by itself; more are the account's trouble


class _Options(TypedDict):
    calls: int
    after: str
    repair: bool
    wait: timedelta | None


@click.command()
@click.argument("local_id", required=False, callback=utf_8)
@click.option("--all-state", "state", type=click.Choice(_WITH_IDS), help="Read all messages in this state instead.")
@click.option("--calls", default=20, show_default=True, type=click.IntRange(1), help="A walk: so many calls at most.")
@click.option("--after", default="", metavar="ID", callback=utf_8, help="A walk: go on after this local id.")
@click.option("--repair", is_flag=True, help="Set right what the API shows otherwise.")
@click.option("--wait", metavar="10s", callback=duration_of, help="For a free call. [default: 10s; in a walk 1h]")
@ACCOUNT
@JSON
def verify(local_id: str | None, state: State | None, as_json: bool, **options: Unpack[_Options]) -> None:
    """Compare what the API shows with what the ledger believes: same, differs, gone.

    Each reading is one call of the account's budget; a walk lets every message that can be sent go first, and creates
    nothing anew before it has read one message: with the key of another account all would be gone. Exits with 1 when
    something is not as it should be, or could not be read. Needs the worker's settings: the key and the address.
    """
    if (local_id is None) == (state is None):
        raise click.UsageError("Give either LOCAL_ID or --all-state.")
    found = asyncio.run(_walk(state, options) if state else _verify_one(local_id or "", options))
    if as_json:
        documents = [asdict(verified) for verified in found]
        print_json(documents[0] if local_id is not None else documents)
    else:
        _print(found)
    if not all(map(_is_well, found)):
        sys.exit(1)


def _is_well(verified: Verified) -> bool:
    return verified.finding in ("same", "moving") or verified.repaired not in (None, "failed")


def _print(found: list[Verified]) -> None:
    for verified in found:
        done = f"repaired: {verified.repaired}" if verified.repaired not in (None, "failed") else verified.remedy
        why = f" ({cell(verified.detail)})" if verified.detail else ""
        click.echo(f"{printable(verified.local_id)}: {verified.finding.replace('_', ' ')}{why}; {done}")
    if len(found) > 1:
        counts = Counter(verified.finding.replace("_", " ") for verified in found)
        click.echo(", ".join(f"{number} {finding}" for finding, number in counts.most_common()))


class _Says:
    """Says what a reading waits for, once for each reason in a row."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, drawn: Drawn) -> None:
        reasons = {"budget": "the next call of the budget", "paused": "the pause", "messages": "messages that go first"}
        if drawn.reason != self._last:
            click.echo(f"waiting for {reasons[drawn.reason]}, {cell(drawn.wait)} at most", err=True)
        self._last = drawn.reason


async def _verify_one(local_id: str, options: _Options) -> list[Verified]:
    wait = _WAIT_FOR_ONE if options["wait"] is None else options["wait"]
    repair, by = _REPAIRS if options["repair"] else frozenset(), By(operator())
    async with open_verification(settings_for(account_named()), _Says()) as verification:
        return [await verification.verify(local_id, repair=repair, wait=wait, by=by)]


async def _walk(state: State, options: _Options) -> list[Verified]:
    found = list[Verified]()
    wait = _WAIT_IN_A_WALK if options["wait"] is None else options["wait"]
    async with open_verification(settings_for(account_named()), _Says()) as verification:
        ids = await verification.walk(state, options["after"])
        with click.progressbar(length=min(len(ids), options["calls"]), label="reading", file=sys.stderr) as bar:
            for position, local_id in enumerate(ids, start=1):
                try:
                    repair = _may_repair(found) if options["repair"] else frozenset()
                    verified = await verification.verify(
                        local_id, repair=repair, wait=wait, polite=True, by=By(operator())
                    )
                except UnknownLocalId:  # forgotten since the list was made
                    continue
                found.append(verified)
                bar.update(int(verified.cost_a_call))
                if _is_over(found, options["calls"]):
                    _say_where_to_go_on(found, position, len(ids))
                    break
    return found


def _may_repair(found: list[Verified]) -> frozenset[Repairable]:
    """With the key of another account everything is gone: nothing is sent anew before one message was read."""
    is_proved = any(verified.finding in ("same", "differs") for verified in found)
    return _REPAIRS if is_proved else _REPAIRS - {"gone"}


def _is_over(found: list[Verified], calls: int) -> bool:
    if found[-1].finding == "unread" and not found[-1].cost_a_call:
        return True
    return _unread_at_the_end(found) >= _UNREAD_IN_A_ROW or sum(one.cost_a_call for one in found) >= calls


def _unread_at_the_end(found: list[Verified]) -> int:
    return len(list(takewhile(lambda verified: verified.finding == "unread", reversed(found))))


def _say_where_to_go_on(found: list[Verified], looked_at: int, of: int) -> None:
    unread = _unread_at_the_end(found)
    if looked_at - unread < of:
        read = found[: len(found) - unread]
        where = f"--after {shlex.quote(printable(read[-1].local_id))}" if read else "the same command"
        click.echo(f"{looked_at - unread} of {of} looked at; go on with {where}", err=True)

"""The verb that looks whether everything is in order."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import click

from pushledger.checks import Check, checks_of_others
from pushledger.messages import AsyncMessages
from pushledger.output import cell, print_json, print_table
from pushledger.own_checks import own_checks
from pushledger.parameters import ACCOUNT, JSON, account_named, duration_of

__all__ = ["check"]

_WAIT = timedelta(seconds=10)


@click.command()
@click.option("--wait", metavar="10s", callback=duration_of, help="For a worker to answer. [default: 10s]")
@ACCOUNT
@JSON
def check(wait: timedelta | None, as_json: bool) -> None:
    """See whether server, broker, worker, key, clock and versions are in order. Exits with 1 if not.

    Costs one call of the budget, where the worker's settings are.
    """
    found = asyncio.run(_look(_WAIT if wait is None else wait))
    if as_json:
        trouble = any(one.is_trouble for one in found)
        print_json({"ok": not trouble, "checks": [one.to_json() for one in found]})
    else:
        print_table(
            ("CHECK", "OUTCOME", "WHAT WAS FOUND"), ([one.name, one.outcome, cell(one.sentence)] for one in found)
        )
    if any(one.is_trouble for one in found):
        raise SystemExit(1)


async def _look(wait: timedelta) -> list[Check]:
    async with AsyncMessages.from_env(account_named()) as messages:
        *own, versions = await own_checks(messages, wait)
        return [*own, *await checks_of_others(messages), versions]

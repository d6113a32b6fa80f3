"""The verbs for agents that shall look online."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import click

from pushledger.jobs import parsed_time
from pushledger.ledger import Budget
from pushledger.messages import Messages
from pushledger.output import cell, print_json, print_table
from pushledger.parameters import (
    ACCOUNT,
    JSON,
    WHY,
    Decorator,
    account_named,
    duration_of,
    operator,
    parameters,
    utf_8,
)
from pushledger.presence import Presence
from pushledger.targets import Agent

__all__ = ["presence"]

_COLUMNS = ("AGENT", "UNTIL", "LAST PING", "NEXT PING", "CALLS AN HOUR")


def _until(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    return value if value is None else cast(datetime, parsed_time("until", value))


_AGENT: Decorator = parameters(
    click.argument("agent_id", required=False, callback=utf_8),
    click.option("--agent-email", metavar="ADDRESS", callback=utf_8, help="In place of AGENT_ID:"),
    click.option("--agent-name", metavar="NAME", callback=utf_8, help="all three of these"),
    click.option("--received-from", metavar="MARK", callback=utf_8, help="together."),
)


@click.group()
def presence() -> None:
    """Let agents look online. Each ping is a call of the budget: by default 60 an hour for each agent."""


@presence.command()
@_AGENT
@click.option("--for", "for_", metavar="8h", callback=duration_of, help="For how long, or")
@click.option("--until", metavar="TIME", callback=_until, help="until when; ISO 8601 with an offset.")
@WHY
@ACCOUNT
@JSON
def online(for_: timedelta | None, until: datetime | None, why: str, as_json: bool, **agent: Any) -> None:
    """Let an agent look online; asking again changes the time."""
    with Messages.from_env(account_named()) as messages:
        found = messages.keep_online(Agent(**agent), until=until, for_=for_, by=operator(), why=why)
        budget = messages.account().budget
    if as_json:
        return print_json(found.to_json())
    click.echo(f"{cell(_name(found.agent))} is kept online until {cell(found.until)}")
    click.echo(f"costs {found.calls_per_hour} calls an hour{_of(budget)}; messages that can be sent go first")
    return None


def _of(budget: Budget) -> str:
    rates = [f"{window.limit} calls in {cell(window.period)}" for window in budget.windows]
    return f", where {' and '.join(rates)} are allowed for everything" if rates else ""


@presence.command()
@_AGENT
@WHY
@ACCOUNT
@JSON
def offline(why: str, as_json: bool, **agent: Any) -> None:
    """Stop keeping an agent online. The API shows it so for two or three minutes after its last ping."""
    wanted = Agent(**agent)
    with Messages.from_env(account_named()) as messages:
        found = messages.go_offline(wanted, by=operator(), why=why)
    if as_json:
        return print_json({"was_online": found})
    if not found:
        raise click.ClickException(f"{cell(_name(wanted))} is not kept online")
    click.echo(f"{cell(_name(wanted))} is not kept online any more")
    return None


@presence.command(name="list")
@ACCOUNT
@JSON
def list_presences(as_json: bool) -> None:
    """List the agents that are kept online."""
    with Messages.from_env(account_named()) as messages:
        found = messages.presences()
    if as_json:
        print_json([one.to_json() for one in found])
    elif found:
        print_table(_COLUMNS, (_row(one) for one in found))
    else:
        click.echo("no agent is kept online", err=True)


def _row(presence: Presence) -> list[str]:
    refused = None if presence.refused is None else f"refused with {presence.refused}"
    return [
        cell(_name(presence.agent)),
        cell(presence.until),
        cell(presence.pinged_at),
        refused or cell(presence.next_ping_at),
        cell(presence.calls_per_hour if refused is None else 0),
    ]


def _name(agent: Agent) -> str:
    return agent.agent_id or f"{agent.agent_name} <{agent.agent_email}> ({agent.received_from})"

"""The verbs for a whole account: how it stands, pause it, resume it."""

from __future__ import annotations

from datetime import timedelta

import click

from pushledger.ledger import Budget
from pushledger.messages import Messages
from pushledger.output import cell, print_json
from pushledger.parameters import ACCOUNT, JSON, RATE, WHY, account_named, duration_of, operator
from pushledger.status import pause_document, read_status
from pushledger.watch import watch

__all__ = ["pause", "resume", "status"]

_EVERY, _SHORTEST = timedelta(seconds=2), timedelta(milliseconds=100)


@click.command()
@click.option("--for", "duration", metavar="10m", callback=duration_of, help="For how long. [default: until resumed]")
@click.option("--reason", default="by hand", show_default=True, metavar="TEXT", help="Shown wherever somebody waits.")
@WHY
@ACCOUNT
@JSON
def pause(duration: timedelta | None, reason: str, why: str, as_json: bool) -> None:
    """Pause the account: nothing more is sent. Calls in the air end as usual."""
    with Messages.from_env(account_named()) as messages:
        wait = {} if duration is None else {"duration": duration}
        messages.pause(**wait, reason=reason, by=operator(), why=why)
        standing = messages.account().pause
    if as_json:
        print_json({"pause": pause_document(standing)})
    elif standing:
        click.echo(f"paused until {cell(standing.until)}: {cell(standing.reason)}")


@click.command()
@WHY
@ACCOUNT
@JSON
def resume(why: str, as_json: bool) -> None:
    """End whatever pause the account has."""
    with Messages.from_env(account_named()) as messages:
        messages.resume(by=operator(), why=why)
    if as_json:
        print_json({"pause": None})
    else:
        click.echo("resumed")


@click.command()
@click.option("--watch", "is_watched", is_flag=True, help="Show it again and again; Ctrl-C ends it, with status 130.")
@click.option("--every", metavar="2s", callback=duration_of, help="How often, with --watch. [default: 2s]")
@RATE
@ACCOUNT
@JSON
def status(is_watched: bool, every: timedelta | None, budget: Budget | None, as_json: bool) -> None:
    """Tell how the account stands: what waits, what holds it up, and how long that will take."""
    if every is not None and (not is_watched or every < _SHORTEST):
        raise click.UsageError("--every belongs to --watch, and must be at least 100ms.")
    with Messages.from_env(account_named()) as messages:
        if is_watched:
            watch(lambda: read_status(messages, budget), every or _EVERY, as_json)
        standing = read_status(messages, budget)
    if as_json:
        return print_json(standing.document())
    for line in standing.lines():
        click.echo(line)
    return None

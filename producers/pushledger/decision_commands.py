"""The verbs with which a person decides what becomes of one message, or of all that are in a state."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

from pushledger.bulk import Bulk, do_to_many
from pushledger.ledger import BulkAction
from pushledger.message import State
from pushledger.messages import Messages
from pushledger.output import print_json
from pushledger.parameters import ACCOUNT, JSON, LOCAL_ID, WHY, Decorator, account_named, operator, parameters, utf_8
from pushledger.terminal import printable

__all__ = ["discard", "forget", "resend", "resolve", "retry"]


class _Many(TypedDict):
    """Options of a decision about all messages in a state."""

    reason: str
    limit: int | None
    dry_run: bool
    yes: bool


def _one_or_many(*states: State) -> Decorator:
    return parameters(
        click.argument("local_id", required=False, callback=utf_8),
        click.option("--all-state", "state", type=click.Choice(states), help="All messages in this state instead:"),
        click.option("--reason", default="", metavar="R", callback=utf_8, help="those there for this reason,"),
        click.option("--limit", type=click.IntRange(1), metavar="N", help="so many at most, newest first."),
        click.option("--dry-run", is_flag=True, help="Only tell how many messages and calls that is."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        WHY,
        ACCOUNT,
        JSON,
    )


@click.command()
@_one_or_many("failed", "expired")
def retry(local_id: str | None, state: State | None, why: str, as_json: bool, **many: Unpack[_Many]) -> None:
    """Try a failed or expired message again."""
    if local_id := _the_one(local_id, state, many):
        with Messages.from_env(account_named()) as messages:
            _tell("retry", local_id, messages.retry(local_id, by=operator(), why=why), as_json)
    elif state:
        _all("retry", state, why, as_json, many)


@click.command()
@_one_or_many("held")
def resend(local_id: str | None, state: State | None, why: str, as_json: bool, **many: Unpack[_Many]) -> None:
    """Send a held message once more, although it may be visible already."""
    if local_id := _the_one(local_id, state, many):
        with Messages.from_env(account_named()) as messages:
            _tell("resend", local_id, messages.resend(local_id, by=operator(), why=why), as_json)
    elif state:
        _all("resend", state, why, as_json, many)


@click.command()
@LOCAL_ID
@click.option("--message-id", required=True, metavar="ID", callback=utf_8, help="The API's id of the copy.")
@WHY
@ACCOUNT
@JSON
def resolve(local_id: str, message_id: str, why: str, as_json: bool) -> None:
    """Tell a held message the id of its copy: it is brought to the newest text, or removed."""
    with Messages.from_env(account_named()) as messages:
        _tell("resolve", local_id, messages.resolve(local_id, message_id, by=operator(), why=why), as_json)


@click.command()
@_one_or_many("failed", "held", "expired")
def discard(local_id: str | None, state: State | None, why: str, as_json: bool, **many: Unpack[_Many]) -> None:
    """Drop what could not be done for a held, failed or expired message; the chat stays as it is."""
    if local_id := _the_one(local_id, state, many):
        with Messages.from_env(account_named()) as messages:
            _tell("discard", local_id, messages.discard(local_id, by=operator(), why=why), as_json)
    elif state:
        _all("discard", state, why, as_json, many)


def _the_one(local_id: str | None, state: State | None, many: _Many) -> str | None:
    """The message that is meant; None when all in a state are."""
    if (local_id is None) == (state is None):
        raise click.UsageError("Give either LOCAL_ID or --all-state.")
    if state is None and (many["reason"] or many["limit"] or many["dry_run"]):
        raise click.UsageError("--reason, --limit and --dry-run belong to --all-state.")
    return local_id


def _all(action: BulkAction, state: State, why: str, as_json: bool, many: _Many) -> None:
    bulk = Bulk(action=action, state=state, reason=many["reason"], limit=many["limit"], why=why)
    do_to_many(bulk, dry_run=many["dry_run"], yes=many["yes"], as_json=as_json)


def _tell(decision: str, local_id: str, state: State, as_json: bool) -> None:
    if as_json:
        print_json({"local_id": local_id, "decision": decision, "state": state})
    else:
        click.echo(f"{printable(local_id)}: {state}")


@click.command()
@click.argument("local_id", required=False, callback=utf_8)
@click.option("--visitor", "visitor_id", metavar="ID", callback=utf_8, help="Forget all messages of this visitor.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@WHY
@ACCOUNT
@JSON
def forget(local_id: str | None, visitor_id: str | None, yes: bool, why: str, as_json: bool) -> None:
    """Erase all that is stored of a message, its id at the API too; its visitor goes on seeing it."""
    if (local_id is None) == (visitor_id is None):
        raise click.UsageError("Give either LOCAL_ID or --visitor.")
    what = f"the message {local_id!r}" if visitor_id is None else f"every message of the visitor {visitor_id!r}"
    if not yes:
        question = f"Forget {printable(what)}? It can be neither changed nor removed any more"
        click.confirm(question, abort=True, err=True)
    with Messages.from_env(account_named()) as messages:
        if visitor_id:
            forgotten = messages.forget_visitor(visitor_id, by=operator(), why=why)
        else:
            forgotten = int(messages.forget(local_id or "", by=operator(), why=why))
    if local_id is not None and not forgotten:
        raise click.ClickException(f"no message has the local id {local_id!r}")
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        click.echo(f"{forgotten} forgotten")

"""The verbs with which a person decides what becomes of one message."""

from __future__ import annotations

import click

from pushledger.message import State
from pushledger.messages import Messages
from pushledger.output import print_json
from pushledger.parameters import JSON, LOCAL_ID, WHY, operator, utf_8
from pushledger.terminal import printable

__all__ = ["discard", "forget", "resend", "resolve", "retry"]


@click.command()
@LOCAL_ID
@WHY
@JSON
def retry(local_id: str, why: str, as_json: bool) -> None:
    """Try a failed or expired message again."""
    with Messages.from_env() as messages:
        _tell("retry", local_id, messages.retry(local_id, by=operator(), why=why), as_json)


@click.command()
@LOCAL_ID
@WHY
@JSON
def resend(local_id: str, why: str, as_json: bool) -> None:
    """Send a held message once more, although it may be visible already."""
    with Messages.from_env() as messages:
        _tell("resend", local_id, messages.resend(local_id, by=operator(), why=why), as_json)


@click.command()
@LOCAL_ID
@click.option("--message-id", required=True, metavar="ID", callback=utf_8, help="The API's id of the copy.")
@WHY
@JSON
def resolve(local_id: str, message_id: str, why: str, as_json: bool) -> None:
    """Tell a held message the id of its copy: it is brought to the newest text, or removed."""
    with Messages.from_env() as messages:
        _tell("resolve", local_id, messages.resolve(local_id, message_id, by=operator(), why=why), as_json)


@click.command()
@LOCAL_ID
@WHY
@JSON
def discard(local_id: str, why: str, as_json: bool) -> None:
    """Drop what could not be done for a held, failed or expired message; the chat stays as it is."""
    with Messages.from_env() as messages:
        _tell("discard", local_id, messages.discard(local_id, by=operator(), why=why), as_json)


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
@JSON
def forget(local_id: str | None, visitor_id: str | None, yes: bool, why: str, as_json: bool) -> None:
    """Erase all that is stored of a message, its id at the API too; its visitor goes on seeing it."""
    if (local_id is None) == (visitor_id is None):
        raise click.UsageError("Give either LOCAL_ID or --visitor.")
    what = f"the message {local_id!r}" if visitor_id is None else f"every message of the visitor {visitor_id!r}"
    if not yes:
        question = f"Forget {printable(what)}? It can be neither changed nor removed any more"
        click.confirm(question, abort=True, err=True)
    with Messages.from_env() as messages:
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

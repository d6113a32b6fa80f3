"""The verbs that every shop has: change messages, and look at what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import click

from pushledger.errors import RefusedJob
from pushledger.jobs import Job, Priority, Verb, job_from_json
from pushledger.ledger import Account, Budget, waiting_for
from pushledger.message import STATES, Message, Receipt, TimelineEvent, Wait, wait_to_json
from pushledger.messages import Messages
from pushledger.output import cell, print_json, print_table
from pushledger.parameters import (
    ACCOUNT,
    JSON,
    LOCAL_ID,
    RATE,
    SENDER,
    Decorator,
    Function,
    account_named,
    parameters,
    version_of,
)
from pushledger.terminal import printable

__all__ = ["create", "delete", "list_messages", "show", "update", "upsert"]

_REFUSED = "refused"
_COLUMNS = ("LOCAL ID", "STATE", "REASON", "WAITS FOR", "REVISION", "ATTEMPTS", "NEXT ATTEMPT", "LAST ERROR")
_REFUSED_COLUMNS = ("local_id", "verb", "error", "field", "rule", "at")


# ---------------------------------------------------------------- parameters


def _text(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if value != "-":
        return value
    try:
        with click.open_file("-", "rb") as stream:
            text: str = stream.read().decode()
    except UnicodeDecodeError:
        raise click.BadParameter("standard input must be UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def _version(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    return value if value is None else version_of(value)


_TEXT: Decorator = click.option("--text", required=True, callback=_text, help="The text; - reads it from stdin.")


def _job_options(function: Function) -> Function:
    return parameters(
        click.option("--job-id", help="Name of this change: the same one again is harmless."),
        click.option("--priority", type=click.Choice(get_args(Priority)), help="[default: normal]"),
        click.option("--not-before", metavar="TIME", help="Send no earlier; ISO 8601 with an offset."),
        click.option("--expires-at", metavar="TIME", help="Do not send any more from then on."),
        click.option("--version", metavar="N|TIME", callback=_version, help="The shop's counter; older is ignored."),
        click.option("--max-resends", type=int, help="How often a create without known outcome may be sent again."),
        ACCOUNT,
        JSON,
    )(function)


def _showing(function: Function) -> Function:
    return parameters(
        LOCAL_ID,
        click.option("--visitor", "visitor_id", required=True, metavar="ID", help="Who shall see it."),
        _TEXT,
        SENDER,
        _job_options,
    )(function)


# ---------------------------------------------------------------- verbs that change


@click.command()
@_showing
def create(as_json: bool, **values: Any) -> None:
    """Show a new message to a visitor."""
    _submit("create", values, as_json)


@click.command()
@LOCAL_ID
@_TEXT
@_job_options
def update(as_json: bool, **values: Any) -> None:
    """Change the text of a message in place."""
    _submit("update", values, as_json)


@click.command()
@_showing
def upsert(as_json: bool, **values: Any) -> None:
    """Create a message, or change its text if it is there."""
    _submit("upsert", values, as_json)


@click.command()
@LOCAL_ID
@_job_options
def delete(as_json: bool, **values: Any) -> None:
    """Take a message away."""
    _submit("delete", values, as_json)


def _submit(verb: Verb, values: dict[str, Any], as_json: bool) -> None:
    job = job_from_json(verb, {name: value for name, value in values.items() if value is not None})
    receipt = _recorded(job)
    if as_json:
        print_json({"local_id": receipt.local_id, "revision": receipt.revision, "outcome": receipt.outcome})
    else:
        click.echo(f"{printable(receipt.local_id)}: {receipt.outcome}, revision {receipt.revision}")


def _recorded(job: Job) -> Receipt:
    with Messages.from_env(account_named()) as messages:
        answer = messages.submit([job])[0]
    if isinstance(answer, RefusedJob):
        raise answer
    return answer


# ---------------------------------------------------------------- verbs that look


@click.command()
@LOCAL_ID
@RATE
@ACCOUNT
@JSON
def show(local_id: str, budget: Budget | None, as_json: bool) -> None:
    """Tell what is known of a message, why it waits, and what happened to it."""
    with Messages.from_env(account_named()) as messages:
        message = messages.get(local_id)
        timeline = messages.timeline(local_id)
        waits = waiting_for(message, messages.account(budget)) if message else ()
    if message is None:
        raise click.ClickException(f"no message has the local id {local_id!r}")
    if as_json:
        events = [_event(event) for event in timeline]
        print_json({**message.to_json(), "waits": [wait_to_json(wait) for wait in waits], "timeline": events})
    else:
        _print_message(message, waits, timeline)


def _event(event: TimelineEvent) -> dict[str, str]:
    return {"at": event.at.isoformat(), "event": event.event, "detail": event.detail}


def _print_message(message: Message, waits: Sequence[Wait], timeline: Sequence[TimelineEvent]) -> None:
    for name in message.__slots__:
        value = getattr(message, name)
        if value is not None and name != "waits":
            click.echo(f"{name.replace('_', ' ') + ':':<17}{cell(value)}")
    for wait in waits:
        click.echo(f"{'waits for:':<17}{cell(wait)}")
    for event in timeline:
        click.echo(printable(f"  {cell(event.at)}  {event.event} {event.detail}".rstrip()))


@click.command(name="list")
@click.option("--state", required=True, type=click.Choice([*STATES, _REFUSED]), help="Which messages.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many at most.")
@RATE
@ACCOUNT
@JSON
def list_messages(state: str, limit: int, budget: Budget | None, as_json: bool) -> None:
    """List the messages in a state, or the jobs that the intake refused."""
    with Messages.from_env(account_named()) as messages:
        if state == _REFUSED:
            _list_refused(messages.refused(limit), as_json)
            return
        found = messages.in_state(next(known for known in STATES if known == state), limit)
        retention, account = messages.settings.retention, messages.account(budget)
    if state == "delivered" and not found:
        hint = f"Delivered messages are listed as long as PUSHLEDGER_RETENTION keeps them (now: {retention})."
        click.echo(hint, err=True)
    if as_json:
        print_json([_document(message, account) for message in found])
    elif found:
        print_table(_COLUMNS, (_row(message, account) for message in found))


def _list_refused(documents: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        print_json(documents)
    elif documents:
        titles = [name.replace("_", " ").upper() for name in _REFUSED_COLUMNS]
        print_table(titles, ([cell(document.get(name)) for name in _REFUSED_COLUMNS] for document in documents))


def _document(message: Message, account: Account) -> dict[str, object]:
    return {**message.to_json(), "waits": [wait_to_json(wait) for wait in waiting_for(message, account)]}


def _row(message: Message, account: Account) -> list[str]:
    waits = waiting_for(message, account)
    cells = (
        message.local_id,
        message.state,
        message.reason,
        waits[-1] if waits else None,
        message.revision,
        message.attempts,
        message.next_attempt_at,
        message.last_error,
    )
    return [cell(value) for value in cells]

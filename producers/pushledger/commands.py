"""The verbs that every shop has: change messages, and look at what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeAlias, get_args

import click

from pushledger.errors import RefusedJob
from pushledger.jobs import Job, Priority, Verb, job_from_json
from pushledger.message import STATES, LastError, Message, Receipt, TimelineEvent
from pushledger.messages import Messages
from pushledger.terminal import printable

__all__ = ["create", "delete", "list_messages", "show", "update", "upsert"]

_Function: TypeAlias = Callable[..., Any]
_Decorator: TypeAlias = Callable[[_Function], _Function]

_REFUSED = "refused"
_COLUMNS = ("LOCAL ID", "STATE", "REASON", "REVISION", "ATTEMPTS", "NEXT ATTEMPT", "LAST ERROR")
_REFUSED_COLUMNS = ("local_id", "verb", "error", "field", "rule", "at")


# ---------------------------------------------------------------- parameters


def _local_id(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("must be valid UTF-8") from None
    return value


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
    return int(value) if value is not None and value.isdecimal() and value.isascii() else value


def _parameters(*decorators: _Decorator) -> _Decorator:
    def decorate(function: _Function) -> _Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


_LOCAL_ID: _Decorator = click.argument("local_id", callback=_local_id)
_TEXT: _Decorator = click.option("--text", required=True, callback=_text, help="The text; - reads it from stdin.")
_JSON: _Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _job_options(function: _Function) -> _Function:
    return _parameters(
        click.option("--job-id", help="Name of this change: the same one again is harmless."),
        click.option("--priority", type=click.Choice(get_args(Priority)), help="[default: normal]"),
        click.option("--not-before", metavar="TIME", help="Send no earlier; ISO 8601 with an offset."),
        click.option("--expires-at", metavar="TIME", help="Do not send any more from then on."),
        click.option("--version", metavar="N|TIME", callback=_version, help="The shop's counter; older is ignored."),
        click.option("--max-resends", type=int, help="How often a create without known outcome may be sent again."),
        _JSON,
    )(function)


def _showing(function: _Function) -> _Function:
    return _parameters(
        _LOCAL_ID,
        click.option("--visitor", "visitor_id", required=True, metavar="ID", help="Who shall see it."),
        _TEXT,
        click.option("--agent", "agent_id", metavar="ID", help="Send in the name of this agent, or"),
        click.option("--group", "group_id", metavar="ID", help="in the name of this group."),
        click.option("--kind", help="[default: pushed]"),
        _job_options,
    )(function)


# ---------------------------------------------------------------- verbs that change


@click.command()
@_showing
def create(as_json: bool, **values: Any) -> None:
    """Show a new message to a visitor."""
    _submit("create", values, as_json)


@click.command()
@_LOCAL_ID
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
@_LOCAL_ID
@_job_options
def delete(as_json: bool, **values: Any) -> None:
    """Take a message away."""
    _submit("delete", values, as_json)


def _submit(verb: Verb, values: dict[str, Any], as_json: bool) -> None:
    job = job_from_json(verb, {name: value for name, value in values.items() if value is not None})
    receipt = _recorded(job)
    if as_json:
        _print_json({"local_id": receipt.local_id, "revision": receipt.revision, "outcome": receipt.outcome})
    else:
        click.echo(f"{printable(receipt.local_id)}: {receipt.outcome}, revision {receipt.revision}")


def _recorded(job: Job) -> Receipt:
    with Messages.from_env() as messages:
        answer = messages.submit([job])[0]
    if isinstance(answer, RefusedJob):
        raise answer
    return answer


# ---------------------------------------------------------------- verbs that look


@click.command()
@_LOCAL_ID
@_JSON
def show(local_id: str, as_json: bool) -> None:
    """Tell what is known of a message, and what happened to it."""
    with Messages.from_env() as messages:
        message = messages.get(local_id)
        timeline = messages.timeline(local_id)
    if message is None:
        raise click.ClickException(f"no message has the local id {local_id!r}")
    if as_json:
        _print_json({**message.to_json(), "timeline": [_event(event) for event in timeline]})
    else:
        _print_message(message, timeline)


def _event(event: TimelineEvent) -> dict[str, str]:
    return {"at": event.at.isoformat(), "event": event.event, "detail": event.detail}


def _print_message(message: Message, timeline: Sequence[TimelineEvent]) -> None:
    for name in message.__slots__:
        value = getattr(message, name)
        if value is not None:
            click.echo(f"{name.replace('_', ' ') + ':':<17}{_cell(value)}")
    for event in timeline:
        click.echo(printable(f"  {_cell(event.at)}  {event.event} {event.detail}".rstrip()))


@click.command(name="list")
@click.option("--state", required=True, type=click.Choice([*STATES, _REFUSED]), help="Which messages.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many at most.")
@_JSON
def list_messages(state: str, limit: int, as_json: bool) -> None:
    """List the messages in a state, or the jobs that the intake refused."""
    with Messages.from_env() as messages:
        if state == _REFUSED:
            _list_refused(messages.refused(limit), as_json)
            return
        found = messages.in_state(next(known for known in STATES if known == state), limit)
        retention = messages.settings.retention
    if state == "delivered" and not found:
        hint = f"Delivered messages are listed as long as PUSHLEDGER_RETENTION keeps them (now: {retention})."
        click.echo(hint, err=True)
    if as_json:
        _print_json([message.to_json() for message in found])
    elif found:
        _print_table(_COLUMNS, (_row(message) for message in found))


def _list_refused(documents: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        _print_json(documents)
    elif documents:
        titles = [name.replace("_", " ").upper() for name in _REFUSED_COLUMNS]
        _print_table(titles, ([_cell(document.get(name)) for name in _REFUSED_COLUMNS] for document in documents))


def _row(message: Message) -> list[str]:
    cells = (
        message.local_id,
        message.state,
        message.reason,
        message.revision,
        message.attempts,
        message.next_attempt_at,
        message.last_error,
    )
    return [_cell(value) for value in cells]


# ---------------------------------------------------------------- output


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(" ", "seconds")
        case LastError():
            parts = (value.phase, value.status, value.code, value.detail)
            return printable(" ".join(str(part) for part in parts if part is not None))
        case _:
            return printable(str(value))


def _print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = [titles, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(document: object) -> None:
    # ASCII: a terminal's control characters are escaped, and every encoding has them all.
    click.echo(json.dumps(document, indent=2))

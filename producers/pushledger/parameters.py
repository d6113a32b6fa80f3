"""Arguments and options that several verbs share."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import click

from pushledger.ledger import Budget, parse_rate
from pushledger.settings import is_account_name, parse_duration

__all__ = [
    *("ACCOUNT", "JSON", "LOCAL_ID", "RATE", "SENDER", "WHY", "Decorator", "Function"),
    *("account_named", "duration_of", "operator", "parameters", "utf_8", "version_of"),
]

Function: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Function], Function]
_META = "pushledger.account"


def utf_8(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse an argument that came as bytes which are no text."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("must be valid UTF-8") from None
    return value


def version_of(value: str) -> int | str:
    """A version as it was typed: a whole number, or what must be a time."""
    return int(value) if value.isdecimal() and value.isascii() else value


def duration_of(context: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    """Read an option like 10m or 8h."""
    try:
        return value if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parameters(*decorators: Decorator) -> Decorator:
    """Several arguments and options as one decorator, in this order."""

    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _budget(context: click.Context, parameter: click.Parameter, value: str | None) -> Budget | None:
    try:
        return None if value is None else Budget(parse_rate(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _note_account(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None and not is_account_name(value):
        raise click.BadParameter("must be 1 to 64 letters, digits, dots, dashes and underscores")
    context.meta[_META] = value


def account_named() -> str | None:
    """The account that the command line names; None: that of the settings."""
    context = click.get_current_context(silent=True)
    account: str | None = context.meta.get(_META) if context else None
    return account


def operator() -> str:
    """Who sits at the keyboard, as the operating system knows them; '' if it does not."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
    return "".join(letter for letter in name if letter.isprintable())[:100]


ACCOUNT: Decorator = click.option(
    "--account",
    metavar="NAME",
    callback=_note_account,
    expose_value=False,
    help="The account. [default: PUSHLEDGER_ACCOUNT]",
)
LOCAL_ID: Decorator = click.argument("local_id", callback=utf_8)
JSON: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
SENDER: Decorator = parameters(
    click.option("--agent", "agent_id", metavar="ID", callback=utf_8, help="In the name of this agent, or"),
    click.option("--group", "group_id", metavar="ID", callback=utf_8, help="in the name of this group."),
    click.option("--kind", metavar="KIND", help="pushed, or agent: sent as a person would.  [default: pushed]"),
    click.option("--agent-email", metavar="ADDRESS", callback=utf_8, help="Kind agent, in place of --agent:"),
    click.option("--agent-name", metavar="NAME", callback=utf_8, help="all three of these"),
    click.option("--received-from", metavar="MARK", callback=utf_8, help="together."),
)
WHY: Decorator = click.option(
    "--why", default="", metavar="TEXT", callback=utf_8, help="The reason, for the audit trail."
)
RATE: Decorator = click.option(
    "--rate",
    "budget",
    metavar="RATE",
    callback=_budget,
    help="Forecast as if the workers might make so many calls. [default: what they keep to]",
)

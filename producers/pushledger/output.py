"""What the verbs print: tables, cells and JSON documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import click

from pushledger.message import LastError, Wait
from pushledger.terminal import printable

__all__ = ["cell", "print_json", "print_table", "reason_of"]


def cell(value: object) -> str:
    """A value as one line of text in which nothing can steer a terminal."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(" ", "seconds")
        case timedelta():
            return str(timedelta(seconds=round(value.total_seconds())))
        case Wait():
            return f"{reason_of(value)} until {cell(value.until)}" if value.until else reason_of(value)
        case LastError():
            parts = (value.phase, value.status, value.code, value.detail)
            return printable(" ".join(str(part) for part in parts if part is not None))
        case _:
            return printable(str(value))


def reason_of(wait: Wait) -> str:
    """A reason for waiting in plain words."""
    return wait.reason.replace("_", " ")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under titles, each column as wide as it needs."""
    table = [titles, *rows]
    widths = [max(len(one) for one in column) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(one.ljust(width) for one, width in zip(row, widths, strict=True)).rstrip())


def print_json(document: object) -> None:
    """Print one JSON document."""
    # ASCII: a terminal's control characters are escaped, and every encoding has them all.
    click.echo(json.dumps(document, indent=2))

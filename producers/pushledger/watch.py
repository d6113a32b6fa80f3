"""Shows again and again how an account stands, until somebody ends it; a ledger that is away is waited for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from pushledger.errors import LedgerUnavailable
from pushledger.output import cell
from pushledger.status import Status

if TYPE_CHECKING:
    from rich.live import Live

__all__ = ["watch"]


def watch(read: Callable[[], Status], every: timedelta, as_json: bool) -> None:
    """Never returns. A terminal is redrawn, if rich is installed; else each look is one line."""
    with ExitStack() as stack:
        live = None if as_json or not sys.stdout.isatty() else _live(stack)
        while True:
            try:
                status = read()
            except LedgerUnavailable as error:
                _tell_away(live, error, as_json)
            else:
                _tell(live, status, as_json)
            time.sleep(every.total_seconds())


def _live(stack: ExitStack) -> Live | None:
    try:
        from rich.live import Live
    except ModuleNotFoundError:  # it comes with the extra "demo"
        return None
    return stack.enter_context(Live(auto_refresh=False, vertical_overflow="crop"))


def _tell(live: Live | None, status: Status, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(status.document()))
    elif live is None:
        click.echo(status.line())
    else:
        _draw(live, [cell(status.account.now), *status.lines()])


def _tell_away(live: Live | None, error: LedgerUnavailable, as_json: bool) -> None:
    now, said = datetime.now(UTC), cell(str(error))
    if as_json:
        click.echo(json.dumps({"now": now.isoformat(), "error": str(error)}))
    elif live is None:
        click.echo(f"{cell(now)}  {said}")
    else:
        _draw(live, [cell(now), said])


def _draw(live: Live, lines: list[str]) -> None:
    from rich.text import Text

    live.update(Text("\n".join(lines)), refresh=True)  # Text: what stands in it is no markup

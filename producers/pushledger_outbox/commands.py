"""The verbs for the transactional outbox."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import FrameType

import click
from pushledger.messages import Messages
from pushledger.output import cell, print_json, print_table
from pushledger.parameters import JSON

from pushledger_outbox.relay import Relay
from pushledger_outbox.rows import Row
from pushledger_outbox.settings import OutboxSettings
from pushledger_outbox.store import Store
from pushledger_outbox.stores import Opener, open_outbox

__all__ = ["outbox"]

_SHOWN = 100
_EVERY = 10_000
_TITLES = ("ROW", "LOCAL ID", "VERB", "ADDED", "ERROR")


@click.group()
def outbox() -> None:
    """Hand jobs to the ledger that a shop committed with its own data.

    The rows are in the database that PUSHLEDGER_OUTBOX_URL names, or in that of a Django project: there it is
    `python manage.py pushledger_outbox …`.
    """


@contextmanager
def _opened() -> Iterator[tuple[OutboxSettings, Store]]:
    # A framework's own command line hands in how its outbox is opened.
    opener: Opener = click.get_current_context().obj or open_outbox
    settings, store = opener()
    try:
        yield settings, store
    finally:
        store.close()


@outbox.command()
@click.option("--once", is_flag=True, help="End when nothing is left that could be handed over now.")
def relay(once: bool) -> None:
    """Hand jobs over as they are committed, until SIGTERM or Ctrl-C. Start as many as you like."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    with _opened() as (settings, store), Messages(settings) as messages, _ended_by_signals(stop):
        working = Relay(store, messages, settings)
        if once:
            while not stop.is_set() and working.step().taken:
                pass
        else:
            store.standing()
            click.echo(f"pushledger outbox relay ready: account {settings.account}", err=True)
            working.run(stop)


@contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@outbox.command()
@JSON
def status(as_json: bool) -> None:
    """Show how many rows wait and since when, and those that were refused, with their errors."""
    with _opened() as (settings, store):
        standing, refused = store.standing(), store.refused(_SHOWN)
    oldest = None if standing.oldest_added_at is None else _time(standing.oldest_added_at)
    if as_json:
        document = {
            "account": settings.account,
            "waiting": standing.waiting,
            "oldest_added_at": oldest and oldest.isoformat(),
            "refused": standing.refused,
            "rows": [_row_as_json(row) for row in refused],
        }
        return print_json(document)
    age = f", the oldest for {cell(_age(oldest))}" if oldest else ""
    click.echo(f"account {settings.account}: {standing.waiting} waiting{age}; {standing.refused} refused")
    if refused:
        print_table(_TITLES, (_cells(row) for row in refused))
    if standing.refused > len(refused):
        click.echo(f"… and {standing.refused - len(refused)} more", err=True)
    return None


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _age(since: datetime) -> timedelta:
    return max(timedelta(0), datetime.now(UTC) - since)


def _row_as_json(row: Row) -> dict[str, object]:
    return {
        "id": row.id,
        "local_id": row.local_id,
        "job_id": row.job_id,
        "verb": row.verb,
        "added_at": _time(row.added_at).isoformat(),
        "error": row.error,
    }


def _cells(row: Row) -> list[str]:
    return [str(row.id), cell(row.local_id), row.verb, cell(_time(row.added_at)), cell(row.error)]


_ROWS = click.argument("rows", nargs=-1, type=int, metavar="ROW…")
_ALL = click.option("--all", "every", is_flag=True, help="All that were refused.")


def _asked(store: Store, rows: Sequence[int], every: bool) -> list[int]:
    if bool(rows) == every:
        raise click.UsageError("Give ROW… or --all; `pushledger outbox status` tells the rows.")
    return [row.id for row in store.refused(_EVERY)] if every else list(rows)


@outbox.command()
@_ROWS
@_ALL
def retry(rows: tuple[int, ...], every: bool) -> None:
    """Let refused rows wait again. What was committed for their messages since is older news then than they are."""
    with _opened() as (_, store):
        click.echo(f"{store.retry(_asked(store, rows, every))} wait again")


@outbox.command()
@_ROWS
@_ALL
def drop(rows: tuple[int, ...], every: bool) -> None:
    """Delete refused rows; what they asked for is not done."""
    with _opened() as (_, store):
        click.echo(f"{store.drop(_asked(store, rows, every))} dropped")


@outbox.command()
def ddl() -> None:
    """Print the statements that make the table, for the database of PUSHLEDGER_OUTBOX_URL or the Django project."""
    with _opened() as (_, store):
        click.echo(store.ddl())

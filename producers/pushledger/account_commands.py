"""The verbs for a whole account: how it stands, pause it, resume it."""

from __future__ import annotations

from datetime import timedelta

import click

from pushledger.ledger import Account, Budget, Pause
from pushledger.messages import Messages
from pushledger.output import cell, print_json
from pushledger.parameters import JSON, RATE, WHY, duration_of, operator

__all__ = ["pause", "resume", "status"]


@click.command()
@click.option("--for", "duration", metavar="10m", callback=duration_of, help="For how long. [default: until resumed]")
@click.option("--reason", default="by hand", show_default=True, metavar="TEXT", help="Shown wherever somebody waits.")
@WHY
@JSON
def pause(duration: timedelta | None, reason: str, why: str, as_json: bool) -> None:
    """Pause the account: nothing more is sent. Calls in the air end as usual."""
    with Messages.from_env() as messages:
        wait = {} if duration is None else {"duration": duration}
        messages.pause(**wait, reason=reason, by=operator(), why=why)
        standing = messages.account().pause
    if as_json:
        print_json({"pause": _pause(standing)})
    elif standing:
        click.echo(f"paused until {cell(standing.until)}: {cell(standing.reason)}")


@click.command()
@WHY
@JSON
def resume(why: str, as_json: bool) -> None:
    """End whatever pause the account has."""
    with Messages.from_env() as messages:
        messages.resume(by=operator(), why=why)
    if as_json:
        print_json({"pause": None})
    else:
        click.echo("resumed")


@click.command()
@RATE
@JSON
def status(budget: Budget, as_json: bool) -> None:
    """Tell how the account stands: what waits, what holds it up, and how long that will take."""
    with Messages.from_env() as messages:
        name, account = messages.settings.account, messages.account(budget)
        counts, counters = messages.counts(), messages.stats()
    if as_json:
        document = {"account": name, **_document(account), "counts": counts}
        return print_json({**document, "counters": dict(sorted(counters.items()))})
    for title, value in _lines(name, account):
        click.echo(f"{title + ':':<15}{value}")
    click.echo("messages:      " + ", ".join(f"{number} {state}" for state, number in counts.items()))
    for counter, number in sorted(counters.items()):
        click.echo(f"  {cell(counter)} {number}")
    return None


def _lines(name: str, account: Account) -> list[tuple[str, str]]:
    pause, left = account.pause, account.calls_left
    calls = "no limit" if left is None else str(left)
    if account.next_call_at:
        calls += f", the next at {cell(account.next_call_at)}"
    return [
        ("account", cell(name)),
        ("paused", f"until {cell(pause.until)}: {cell(pause.reason)}{_probing(pause)}" if pause else "no"),
        ("calls left", calls),
        ("waiting", str(account.waiting)),
        ("oldest due", cell(account.oldest_due)),
        ("drained in", cell(account.drained_in)),
    ]


def _probing(pause: Pause) -> str:
    return ", then probed one call at a time" if pause.trouble else ""


def _document(account: Account) -> dict[str, object]:
    return {
        "now": account.now.isoformat(),
        "pause": _pause(account.pause),
        "calls_left": account.calls_left,
        "next_call_at": account.next_call_at and account.next_call_at.isoformat(),
        "waiting": account.waiting,
        "oldest_due": account.oldest_due and account.oldest_due.isoformat(),
        "drained_in_seconds": round(account.drained_in.total_seconds(), 3),
    }


def _pause(pause: Pause | None) -> dict[str, object] | None:
    return {"until": pause.until.isoformat(), "reason": pause.reason, "trouble": pause.trouble} if pause else None

"""The worker's verbs of the command line."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from pushledger_worker.settings import WorkerSettings

__all__ = ["demo", "worker"]


@click.command()
@click.option("--concurrency", "-c", type=click.IntRange(1, 64), help="Worker processes [PUSHLEDGER_CONCURRENCY].")
@click.option("--pool", type=click.Choice(["prefork", "threads", "solo"]), default="prefork", show_default=True)
@click.option("--loglevel", "-l", default="INFO", show_default=True, help="DEBUG, INFO, WARNING or ERROR.")
def worker(concurrency: int | None, pool: str, loglevel: str) -> None:
    """Deliver messages until stopped; SIGTERM lets calls in the air end first."""
    # First: who lacks the extra shall hear of that, not of a setting.
    from celery.signals import worker_shutdown

    from pushledger_worker.app import app

    statuses: list[int] = []

    # worker_main forgets it, and a worker that ended by an error would not be started again on failure.
    @worker_shutdown.connect(weak=False)
    def note_status(sender: Any, **_: Any) -> None:
        statuses.append(sender.exitcode or 0)

    settings = WorkerSettings()
    arguments = ["worker", f"--pool={pool}", f"--concurrency={concurrency or settings.concurrency}"]
    app.worker_main([*arguments, f"--loglevel={loglevel}", "--without-gossip", "--without-mingle"])
    sys.exit(max(statuses, default=0))


@click.command()
@click.option("--orders", type=click.IntRange(20, 2000), default=200, show_default=True, help="Orders in the shop.")
@click.option("--seed", type=int, default=1042, show_default=True, help="Decides the shop's events and the faults.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards, with the addresses to look at.")
def demo(orders: int, seed: int, as_json: bool, keep: bool) -> None:
    """Show it: a shop, a flaky rate-limited API, two workers of which one is killed; then check the books.

    Exits with 1 if a promise was broken. Needs no service and no network.
    """
    from pushledger_worker.demo import run_demo

    # Else a SIGTERM would leave the processes behind that the demo has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(0 if run_demo(orders, seed, as_json, keep) else 1)

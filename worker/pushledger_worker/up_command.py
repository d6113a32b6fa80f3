"""The verb that runs everything on one machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

__all__ = ["up"]

_PORT = click.IntRange(1, 65_535)


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which everything is kept. [default: ~/.local/share/pushledger]",
)
@click.option("--sandbox", "with_sandbox", is_flag=True, help="Without an account: a stand-in takes the calls.")
@click.option("--redis-port", type=_PORT, default=8027, show_default=True, help="Where the shop reaches the ledger.")
@click.option(
    "--dashboard-port",
    type=_PORT,
    default=8026,
    show_default=True,
    envvar="PUSHLEDGER_DASHBOARD_PORT",
    help="Where browsers reach the dashboard.",
)
@click.option(
    "--sandbox-port", type=_PORT, default=8025, show_default=True, help="Where the sandbox is, with --sandbox."
)
@click.option("--json", "as_json", is_flag=True, help="Write each line as a JSON object.")
def up(
    data: Path | None, with_sandbox: bool, redis_port: int, dashboard_port: int, sandbox_port: int, as_json: bool
) -> None:
    """Run everything on this machine until stopped: an embedded Valkey, a worker, the dashboard.

    Keeps its data in one folder, starts again what ends, and takes up where it left off, also after being killed.
    Exits with 0 when it was told to stop, and with 1 when a part does not stay up.
    """
    # First: who lacks the extra shall hear of that, not of a setting.
    from pushledger_worker.data_folder import default_folder
    from pushledger_worker.parts import Ports
    from pushledger_worker.up import run_up

    folder = data or default_folder(os.environ)
    if with_sandbox:
        # Imaginary messages and real ones stay apart: a server, a password and a file for the shop of its own.
        folder = folder / "sandbox"
    ports = Ports(redis_port, dashboard_port, sandbox_port if with_sandbox else None)
    sys.exit(run_up(folder, ports, "json" if as_json else "text"))

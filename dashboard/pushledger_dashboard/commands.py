"""The dashboard's verb of the command line."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["dashboard"]


@click.command()
@click.option("--host", help="Address to listen on [PUSHLEDGER_DASHBOARD_HOST].")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0 takes a free one [PUSHLEDGER_DASHBOARD_PORT].")
@click.option("--json-ready", is_flag=True, help="Print the line that says it is ready as JSON.")
def dashboard(host: str | None, port: int | None, json_ready: bool) -> None:
    """Serve the JSON API, metrics and health of one account.

    Beyond this machine only with tokens: PUSHLEDGER_DASHBOARD_TOKENS=name:role:token,…
    """
    # First: who lacks the extra shall hear of that, not of a setting.
    from pushledger_dashboard.server import serve
    from pushledger_dashboard.settings import DashboardSettings

    given: dict[str, Any] = {"dashboard_host": host, "dashboard_port": port}
    settings = DashboardSettings(**{name: value for name, value in given.items() if value is not None})
    if not settings.tokens:
        click.echo("No tokens are set: whoever can reach this machine's loopback address may do everything.", err=True)

    def say_ready(address: str) -> None:
        line = json.dumps({"url": address}) if json_ready else f"pushledger dashboard ready: {address}"
        print(line, flush=True)

    try:
        serve(settings, say_ready)
    except OSError as error:
        where = f"{settings.dashboard_host} port {settings.dashboard_port}"
        raise click.ClickException(f"cannot listen on {where}: {error.strerror or error}") from error

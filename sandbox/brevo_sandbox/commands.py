"""The command line."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import click

from brevo_sandbox.faults import Chance, Kind, parse_chance
from brevo_sandbox.rates import Rate, parse_rate
from brevo_sandbox.rules import Rules, parse_rule
from brevo_sandbox.server import LOOPBACK, serve
from brevo_sandbox.state import Sandbox
from brevo_sandbox.wire import BadInputError


def _rate(context: click.Context, parameter: click.Parameter, written: str) -> Rate | None:
    try:
        return parse_rate(written)
    except BadInputError as exc:
        raise click.BadParameter(str(exc)) from exc


def _chances(context: click.Context, parameter: click.Parameter, written: tuple[str, ...]) -> list[Chance]:
    try:
        return [parse_chance(each) for each in written]
    except BadInputError as exc:
        raise click.BadParameter(str(exc)) from exc


def _rules(context: click.Context, parameter: click.Parameter, written: tuple[str, ...]) -> Rules:
    try:
        return Rules().changed(dict(parse_rule(each) for each in written))
    except BadInputError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.command(
    name="sandbox",
    epilog=f"Kinds of fault: {', '.join(Kind)}. Switches: {', '.join(field.name for field in fields(Rules))}.",
    context_settings={"show_default": True},
)
@click.option("--host", default=LOOPBACK, help="Address to listen on.")
@click.option("--port", default=8025, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@click.option("--rate", default="100/hour", callback=_rate, help="Calls allowed, as 60/10s, 100/hour or off.")
@click.option(
    "--fault",
    "chances",
    multiple=True,
    callback=_chances,
    metavar="[METHODS:]KIND=P[@DETAIL]",
    help="Let a share P of the requests go wrong, as POST:error_after=0.03 or latency=0.2@1.5s.",
)
@click.option("--seed", type=int, help="Make the faults by chance the same in each run.")
@click.option("--key", "keys", multiple=True, help="Accept only this api-key; may be given again. [default: any]")
@click.option("--without-sender", is_flag=True, help="Accept a create that names neither an agent nor a group.")
@click.option("--no-rate-headers", is_flag=True, help="Leave out the x-sib-ratelimit headers.")
@click.option("--count-refused", is_flag=True, help="Take calls answered 429 from what the next window allows.")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    callback=_rules,
    metavar="NAME=VALUE",
    help="Turn a switch, as bucket=key or duplicate_seconds=2; may be given again.",
)
@click.option("--webhooks-anywhere", is_flag=True, help="Let the webhook's receiver be on another machine.")
@click.option("--json-ready", is_flag=True, help="Print the line that says it is ready as JSON.")
def sandbox(
    host: str,
    port: int,
    rate: Rate | None,
    chances: list[Chance],
    seed: int | None,
    keys: tuple[str, ...],
    without_sender: bool,
    no_rate_headers: bool,
    count_refused: bool,
    rules: Rules,
    webhooks_anywhere: bool,
    json_ready: bool,
) -> None:
    """Serve a stand-in for the Brevo Conversations API, with faults to order."""
    rules = replace(
        rules,
        require_sender=rules.require_sender and not without_sender,
        rate_headers=rules.rate_headers and not no_rate_headers,
        count_refused=rules.count_refused or count_refused,
    )
    state = Sandbox(
        rate=rate,
        chances=chances,
        seed=seed,
        keys=keys or None,
        rules=rules,
        webhooks_anywhere=webhooks_anywhere,
    )

    def say_ready(url: str) -> None:
        page = url.removesuffix("v3")
        line = json.dumps({"url": url, "page": page}) if json_ready else f"brevo sandbox ready: {url}"
        print(line, flush=True)

    try:
        serve(host, port, state, say_ready)
    except OSError as exc:
        raise click.ClickException(f"cannot listen on {host} port {port}: {exc.strerror or exc}") from exc

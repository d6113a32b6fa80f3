"""The command ``pushledger <verb>``. Verbs come from the entry points of group ``pushledger.commands``.

A verb is loaded when it is called, or when its help line is asked for. One whose extra is not installed stays
listed, and says what to install.

Exit status::

    0    done
    1    could not be done: the ledger is away, there is no such message to show or forget, a line of a file is bad,
         nobody reads the output any more
    2    wrong input: an option, a setting, a job or a decision that was refused, an extra that is not installed
    130  interrupted
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from io import StringIO, TextIOWrapper
from typing import Any, Never

import click

from pushledger.errors import InvalidJob, PushledgerError, RefusedDecision, RefusedJob, SettingsError
from pushledger.extras import lacks_extra, remedy
from pushledger.terminal import printable

__all__ = ["MissingExtra", "Verbs", "cli", "main"]

_GROUP = "pushledger.commands"
_WRONG_INPUT = (InvalidJob, RefusedJob, RefusedDecision, SettingsError)


class MissingExtra(click.ClickException):
    """A verb needs packages that are not installed."""

    exit_code = 2

    def __init__(self, verb: EntryPoint) -> None:
        self.remedy = remedy(verb)
        super().__init__(f"pushledger {verb.name} {self.remedy}")


class _Unloadable(click.Command):
    """Stands in the list for a verb that cannot be loaded, and says why once it is called."""

    def __init__(self, name: str, error: Exception) -> None:
        said = error.remedy if isinstance(error, MissingExtra) else f"broken: {type(error).__name__}: {error}"
        super().__init__(
            name,
            short_help=f"({printable(said)})",
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )
        self._error = error

    def invoke(self, ctx: click.Context) -> Never:
        raise self._error


class Verbs(click.Group):
    """A group of commands from entry points: by default those of all installed packages."""

    def __init__(self, *, verbs: Iterable[EntryPoint] | None = None, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._given = verbs

    @cached_property
    def _verbs(self) -> dict[str, EntryPoint]:
        found = entry_points(group=_GROUP) if self._given is None else self._given
        return {verb.name: verb for verb in found}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all verbs, loaded or not."""
        return sorted(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a verb; one that cannot be loaded is replaced by a command that says so."""
        verb = self._verbs.get(cmd_name)
        if verb is None:
            return None
        try:
            command: click.Command = verb.load()
        except Exception as error:  # the list must not break for one verb; calling that verb raises it
            return _Unloadable(cmd_name, MissingExtra(verb) if lacks_extra(verb, error) else error)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb, and make every error that is not a bug one line and an exit status."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        except PushledgerError as error:
            _say(f"Error: {printable(str(error))}")
            raise click.exceptions.Exit(2 if isinstance(error, _WRONG_INPUT) else 1) from error
        except click.ClickException as error:
            _show(error)
            raise click.exceptions.Exit(error.exit_code) from error
        except ModuleNotFoundError as error:
            verb = self._verbs.get(ctx.invoked_subcommand or "")
            if verb is None or not lacks_extra(verb, error):
                raise
            _show(MissingExtra(verb))
            raise click.exceptions.Exit(MissingExtra.exit_code) from error


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(error: click.ClickException) -> None:
    said = StringIO()
    error.show(said)
    for line in said.getvalue().removesuffix("\n").split("\n"):
        _say(printable(line))


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 could not be done, 2 wrong input, 130 interrupted. "
    "Settings come from the environment (PUSHLEDGER_…).",
)
@click.version_option(package_name="pushledger", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep automated chat messages in step with a shop's orders."""


def main() -> None:
    """Run the command line and end the process with its exit status."""
    # A local id that the terminal's encoding lacks shall not end in a traceback.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="pushledger")

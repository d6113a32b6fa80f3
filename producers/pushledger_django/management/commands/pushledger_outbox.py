"""``manage.py pushledger_outbox relay``, ``status`` and so on: what `pushledger outbox` does, in this project."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.management.base import BaseCommand, CommandError
from pushledger import PushledgerError
from pushledger_outbox.commands import outbox

from pushledger_django.store import open_outbox

__all__ = ["Command"]


class Command(BaseCommand):
    """Hands its arguments on, so that there is one set of options."""

    help = "Hand jobs to the ledger that were committed with the project's data."

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Run the verb with the project's settings and database."""
        try:
            outbox.main(list(argv[2:]), prog_name=f"manage.py {argv[1]}", obj=open_outbox)
        except PushledgerError as error:
            self.stderr.write(self.style.ERROR(f"{CommandError.__name__}: {error}"))
            raise SystemExit(1) from None

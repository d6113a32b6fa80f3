"""Finds the store that is at hand: packages bring theirs by entry points of the group ``pushledger.outboxes``.

Each names a function that returns the outbox's settings and its store.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TypeAlias

from pushledger.errors import SettingsError
from pushledger.extras import lacks_extra, remedy

from pushledger_outbox.settings import OutboxSettings
from pushledger_outbox.store import Store

__all__ = ["PLACES", "Opener", "open_outbox"]

Opener: TypeAlias = Callable[[], tuple[OutboxSettings, Store]]

_GROUP = "pushledger.outboxes"
# The variables that say which database it is; the first one that is set.
PLACES = {"PUSHLEDGER_OUTBOX_URL": "sqlalchemy", "DJANGO_SETTINGS_MODULE": "django"}


def open_outbox() -> tuple[OutboxSettings, Store]:
    """The outbox of PUSHLEDGER_OUTBOX_URL, else of the Django project at hand. Raises SettingsError."""
    name = _wanted()
    (part,) = entry_points(group=_GROUP, name=name)
    try:
        opener: Opener = part.load()
    except ModuleNotFoundError as error:
        if lacks_extra(part, error):
            raise SettingsError(f"the outbox of {name} {remedy(part)}") from None
        raise
    return opener()


def _wanted() -> str:
    for variable, name in PLACES.items():
        if os.environ.get(variable):
            return name
    raise SettingsError(
        "PUSHLEDGER_OUTBOX_URL: must name the shop's database, like postgresql+psycopg://user@host/shop; "
        "in a Django project, run `python manage.py pushledger_outbox …` instead"
    )

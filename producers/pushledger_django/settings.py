"""Settings of a Django project: the dictionary PUSHLEDGER, and the environment for what it leaves out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlencode

from django.conf import settings
from django.core.signals import setting_changed
from pushledger import SettingsError
from pushledger_outbox.settings import OutboxSettings
from pydantic import Field

__all__ = ["DjangoSettings", "message_address", "pushledger_settings"]


class DjangoSettings(OutboxSettings):
    """Everything a Django project needs; raises SettingsError naming the setting and the rule."""

    enqueue: Literal["on_commit", "outbox"] = Field(
        "on_commit",
        description="`outbox`: jobs are committed with the project's data, and a relay hands them over. "
        "`on_commit`: they go out right after the commit, and are lost if Redis is away then.",
    )
    dashboard_url: str = Field("", description="Where the dashboard is; the admin links to it.")


@functools.cache
def pushledger_settings() -> DjangoSettings:
    """The project's settings, read once."""
    given = getattr(settings, "PUSHLEDGER", {})
    if not isinstance(given, Mapping):
        raise SettingsError('PUSHLEDGER: must be a dictionary like {"REDIS_URL": "redis://…"}')
    known = {name.upper() for name in DjangoSettings.model_fields}
    for name in given:
        if name not in known:
            raise SettingsError(f'PUSHLEDGER["{name}"]: there is no such setting; there are {", ".join(sorted(known))}')
    try:
        return DjangoSettings(**{name.lower(): value for name, value in given.items()})
    except SettingsError as error:
        raise SettingsError(_named_as_given(str(error), given)) from None


def _named_as_given(sentence: str, given: Mapping[str, object]) -> str:
    name, _, rule = sentence.removeprefix("PUSHLEDGER_").partition(": ")
    return f'PUSHLEDGER["{name}"]: {rule}' if name in given else sentence


def message_address(local_id: str) -> str:
    """The dashboard's page of a message; '' if the project does not say where the dashboard is."""
    base = pushledger_settings().dashboard_url.rstrip("/")
    return f"{base}/messages/show?{urlencode({'id': local_id})}" if base else ""


def _forget(*, setting: str, **details: object) -> None:
    if setting == "PUSHLEDGER":
        pushledger_settings.cache_clear()


setting_changed.connect(_forget)

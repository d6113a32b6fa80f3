"""The app, for INSTALLED_APPS."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from pushledger import SettingsError

from pushledger_django.settings import pushledger_settings

__all__ = ["PushledgerConfig"]


class PushledgerConfig(AppConfig):
    """Brings the outbox's table, its page in the admin, and a check of the settings."""

    name = "pushledger_django"
    verbose_name = "pushledger"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let `manage.py check`, and so every start of the server, say what is wrong with the settings."""
        register(_settings_fit)


def _settings_fit(app_configs: Sequence[AppConfig] | None, **options: object) -> list[CheckMessage]:
    try:
        pushledger_settings()
    except SettingsError as error:
        return [Error(str(error), id="pushledger.E001")]
    return []

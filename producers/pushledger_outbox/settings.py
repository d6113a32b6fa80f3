"""Settings of the outbox and its relay: those of the producers, where the rows are, and how they are worked off."""

from __future__ import annotations

from datetime import timedelta

from pushledger.settings import Duration, Settings
from pydantic import Field, SecretStr

__all__ = ["OutboxSettings"]


class OutboxSettings(Settings):
    """Everything a relay needs; raises SettingsError naming the variable and the rule."""

    outbox_url: SecretStr = Field(
        SecretStr(""),
        description="The shop's database, as a URL of SQLAlchemy. Not set: that of the Django project at hand.",
    )
    outbox_every: Duration = Field(
        timedelta(milliseconds=500),
        ge=timedelta(milliseconds=10),
        description="How often a relay that has nothing to do looks for new rows.",
    )
    outbox_batch: int = Field(100, ge=1, le=1000, description="Rows that are taken at once, each of another message.")
    outbox_lease: Duration = Field(
        timedelta(seconds=30),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=2),
        description="How long rows are a relay's own; those of a dead one wait so long.",
    )
    outbox_keep_refused: Duration = Field(
        timedelta(days=90), description="How long refused rows, with their texts, stay in the table."
    )

"""The outbox's table; it is the same as that of every other framework."""

from __future__ import annotations

from django.db import models
from pushledger_outbox.rows import TABLE

__all__ = ["OutboxRow"]


class OutboxRow(models.Model):
    """A job that was committed with the project's data and waits for a relay, or was refused."""

    id = models.BigAutoField(primary_key=True)
    account = models.CharField(max_length=64)
    local_id = models.CharField(max_length=512)
    job_id = models.CharField(max_length=512)
    verb = models.CharField(max_length=8)
    job = models.TextField()
    added_at = models.BigIntegerField()
    free_at = models.BigIntegerField()
    taken_by = models.CharField(max_length=32)
    revision = models.BigIntegerField(null=True)
    handed_at = models.BigIntegerField(null=True)
    refused_at = models.BigIntegerField(null=True)
    error = models.TextField()

    class Meta:
        """Two indexes: by one the oldest row of a message is found, by the other the oldest of all."""

        db_table = TABLE
        verbose_name = "row of the outbox"
        verbose_name_plural = "outbox"
        indexes = (
            models.Index(fields=["account", "local_id", "id"], name="pushledger_outbox_order"),
            models.Index(fields=["account", "id"], name="pushledger_outbox_oldest"),
        )

    def __str__(self) -> str:
        return f"{self.verb} of {self.local_id}"

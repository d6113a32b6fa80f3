"""The admin: a link from a model's row to the dashboard's page of its message, and the outbox.

@admin.register(Order)
class OrderAdmin(MessageLink, admin.ModelAdmin):
    list_display = ("number", "status", "pushledger_message")

    def pushledger_local_id(self, row):
        return f"order:{row.pk}"
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from pushledger_django.models import OutboxRow
from pushledger_django.settings import message_address, pushledger_settings
from pushledger_django.store import DjangoStore

__all__ = ["MessageLink", "OutboxAdmin"]


class MessageLink:
    """Brings the column and field ``pushledger_message``; put it before ModelAdmin and say each row's local id."""

    def pushledger_local_id(self, row: Model) -> str:
        """The local id of the row's message; '' if it has none."""
        raise NotImplementedError(f"{type(self).__name__} must say the local id: def pushledger_local_id(self, row)")

    @admin.display(description="message")
    def pushledger_message(self, row: Model) -> str:
        """The message's id as a link to its page, or without one if DASHBOARD_URL is not set."""
        local_id = self.pushledger_local_id(row)
        address = message_address(local_id) if local_id else ""
        return format_html('<a href="{}">{}</a>', address, local_id) if address else local_id


def _store() -> DjangoStore:
    return DjangoStore(pushledger_settings().account)


@admin.register(OutboxRow)
class OutboxAdmin(MessageLink, admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Rows that wait or were refused, without their texts."""

    list_display = ("id", "pushledger_message", "verb", "added", "error")
    list_filter = (("refused_at", admin.EmptyFieldListFilter),)
    search_fields = ("local_id",)
    fields = ("pushledger_message", "verb", "added", "error")
    readonly_fields = fields
    actions = ("retry", "drop")

    def pushledger_local_id(self, row: Model) -> str:
        """The row's own."""
        return row.local_id if isinstance(row, OutboxRow) else ""

    @admin.display(description="added", ordering="added_at")
    def added(self, row: OutboxRow) -> datetime:
        """When it was added."""
        return datetime.fromtimestamp(row.added_at / 1000, UTC)

    @admin.action(description="Retry refused rows", permissions=["change"])
    def retry(self, request: HttpRequest, rows: QuerySet[OutboxRow]) -> None:
        """Let refused rows wait again."""
        self._decide(request, _store().retry([row.id for row in rows]), "wait again")

    @admin.action(description="Drop refused rows", permissions=["change"])
    def drop(self, request: HttpRequest, rows: QuerySet[OutboxRow]) -> None:
        """Delete refused rows."""
        self._decide(request, _store().drop([row.id for row in rows]), "were dropped")

    def _decide(self, request: HttpRequest, count: int, done: str) -> None:
        self.message_user(request, f"{count} refused rows {done}; rows that wait stay as they are.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows come from the project's own code."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A row that waits was accepted: it is not deleted, and what is refused is dropped by its action."""
        return False

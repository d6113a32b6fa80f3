"""Orders in the admin, each with a link to its message in the dashboard."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from pushledger_django.admin import MessageLink

from orders.models import Order


@admin.register(Order)
class OrderAdmin(MessageLink, admin.ModelAdmin):
    """The column `pushledger_message` is the link."""

    list_display = ("number", "status", "pushledger_message")

    def pushledger_local_id(self, row: Model) -> str:
        """The name of the order's message."""
        return row.local_id if isinstance(row, Order) else ""

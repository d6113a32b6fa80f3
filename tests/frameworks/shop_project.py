"""A Django project for the tests: its urls and a model's admin."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.urls import path
from pushledger_django.admin import MessageLink


class GroupAdmin(MessageLink, admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Any model will do: each group has a message of its name."""

    list_display = ("name", "pushledger_message")

    def pushledger_local_id(self, row: Model) -> str:
        assert isinstance(row, Group)
        return row.name


admin.site.unregister(Group)
admin.site.register(Group, GroupAdmin)
urlpatterns = [path("admin/", admin.site.urls)]

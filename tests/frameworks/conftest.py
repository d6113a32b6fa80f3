"""A Django project in this very process, with a database in a file, and a ledger for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.conf import settings


@pytest.fixture(scope="session")
def django_project(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Django, set up once: it cannot be set up twice in a process."""
    file = tmp_path_factory.mktemp("django") / "shop.db"
    settings.configure(
        SECRET_KEY="a key of the tests",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file), "OPTIONS": {"timeout": 30}}},
        INSTALLED_APPS=[
            *("django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes"),
            *("django.contrib.messages", "django.contrib.sessions", "pushledger_django"),
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        ROOT_URLCONF="frameworks.shop_project",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


@pytest.fixture
def project(django_project: None, valkey_url: str, account: str) -> Iterator[dict[str, Any]]:
    """The project with an empty database; the dictionary is its setting PUSHLEDGER."""
    from django.core.management import call_command
    from django.db import connections
    from django.test import override_settings

    given = {"REDIS_URL": valkey_url, "ACCOUNT": account}
    with override_settings(PUSHLEDGER=given):
        yield given
    call_command("flush", interactive=False, verbosity=0)
    connections.close_all()

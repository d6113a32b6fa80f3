"""Lets a worker stop whose output nobody reads any more, or which has a full disk for it.

Celery's signal handlers say first that they stop. If that raises, they do not stop: a SIGTERM was heard and forgotten.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from celery.apps import worker as celery_worker

__all__ = ["stop_unheard"]


def stop_unheard() -> None:
    """From now on, what cannot be said is left unsaid."""
    say = vars(celery_worker)["safe_say"]

    def say_if_heard(*said: Any) -> None:
        with suppress(OSError):
            say(*said)

    setattr(celery_worker, "safe_say", say_if_heard)  # noqa: B010  # Celery's types do not know it

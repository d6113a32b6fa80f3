"""pushledger for Django: jobs that go out after the commit, or with it, through an outbox.

INSTALLED_APPS = [..., "pushledger_django"]
PUSHLEDGER = {"REDIS_URL": "redis://…", "ENQUEUE": "outbox"}     # or the environment: PUSHLEDGER_REDIS_URL=…

from pushledger_django import enqueue

with transaction.atomic():
    order.save()
    enqueue(Upsert(f"order:{order.pk}", visitor_id=…, text="Shipped", agent_id=…))
"""

from pushledger_django.enqueueing import enqueue, job_lost, messages
from pushledger_django.settings import DjangoSettings, pushledger_settings

__all__ = ["DjangoSettings", "enqueue", "job_lost", "messages", "pushledger_settings"]

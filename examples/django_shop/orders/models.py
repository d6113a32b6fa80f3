"""An order, and the two things that happen to it: each with its message, in one transaction."""

from __future__ import annotations

from django.db import models, transaction
from pushledger import Update, Upsert
from pushledger_django import enqueue

AGENT = "d9nKoegKSjmCtyK78"


class Order(models.Model):
    """An order; `version` counts its changes, so that an older message never replaces a newer one."""

    number = models.CharField(max_length=32, primary_key=True)
    visitor_id = models.CharField(max_length=128)
    status = models.CharField(max_length=16, default="received")
    version = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.number}: {self.status}"

    @property
    def local_id(self) -> str:
        """The name of its message."""
        return f"order:{self.number}"

    @classmethod
    @transaction.atomic
    def receive(cls, number: str, visitor_id: str) -> None:
        """Take an order."""
        order = cls.objects.create(number=number, visitor_id=visitor_id)
        text = f"We have received your order {number}."
        enqueue(Upsert(order.local_id, visitor_id, text, agent_id=AGENT, version=order.version))

    @classmethod
    @transaction.atomic
    def ship(cls, number: str) -> None:
        """Send an order on its way."""
        order = cls.objects.select_for_update().get(number=number)
        order.status, order.version = "shipped", order.version + 1
        order.save()
        enqueue(Update(order.local_id, f"Your order {number} is on its way.", version=order.version))

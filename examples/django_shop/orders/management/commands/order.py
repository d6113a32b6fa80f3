"""``manage.py order receive 1042 visitor-77`` and ``manage.py order ship 1042``."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from orders.models import Order


class Command(BaseCommand):
    """Let something happen to an order."""

    help = "Receive or ship an order."

    def add_arguments(self, parser: CommandParser) -> None:
        """Two verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        receive = verbs.add_parser("receive")
        receive.add_argument("number")
        receive.add_argument("visitor_id")
        verbs.add_parser("ship").add_argument("number")

    def handle(self, *, verb: str, number: str, visitor_id: str = "", **options: object) -> None:
        """Do it."""
        if verb == "receive":
            Order.receive(number, visitor_id)
        else:
            Order.ship(number)

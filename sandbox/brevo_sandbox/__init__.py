"""A stand-in for the Brevo Conversations API: messages, rate limits, and faults to order."""

from brevo_sandbox.api import ConnectionDroppedError
from brevo_sandbox.app import create_app
from brevo_sandbox.faults import Chance, End, Fault, Kind, Match, Scripted, parse_chance
from brevo_sandbox.rates import Rate, parse_rate
from brevo_sandbox.rules import Bucket, HtmlText, LimitBody, Rules, WindowType
from brevo_sandbox.state import Sandbox
from brevo_sandbox.webhooks import Receiver
from brevo_sandbox.wire import BadInputError

__all__ = [
    "BadInputError",
    "Bucket",
    "Chance",
    "ConnectionDroppedError",
    "End",
    "Fault",
    "HtmlText",
    "Kind",
    "LimitBody",
    "Match",
    "Rate",
    "Receiver",
    "Rules",
    "Sandbox",
    "Scripted",
    "WindowType",
    "create_app",
    "parse_chance",
    "parse_rate",
]

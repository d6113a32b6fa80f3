"""A stand-in for the Brevo Conversations API: messages, rate limits, and faults to order."""

from brevo_sandbox.api import ConnectionDroppedError
from brevo_sandbox.app import create_app
from brevo_sandbox.faults import Chance, End, Fault, Kind, Match, Scripted, parse_chance
from brevo_sandbox.rates import Rate, parse_rate
from brevo_sandbox.rules import Rules
from brevo_sandbox.state import Sandbox
from brevo_sandbox.wire import BadInputError

__all__ = [
    "BadInputError",
    "Chance",
    "ConnectionDroppedError",
    "End",
    "Fault",
    "Kind",
    "Match",
    "Rate",
    "Rules",
    "Sandbox",
    "Scripted",
    "create_app",
    "parse_chance",
    "parse_rate",
]

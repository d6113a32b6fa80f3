"""Rates as people write them: ``100/hour``, ``10/second, 100/hour``, ``60/10s``."""

from __future__ import annotations

import re
from datetime import timedelta

from pushledger.ledger.deliveries import RateWindow

__all__ = ["parse_rate"]

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_SHORTEST, _LONGEST = 0.001, 366 * 86_400
_DIGITS = 9
_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_rate(text: str) -> tuple[RateWindow, ...]:
    """Read a rate: ``100/hour``, ``10/second, 100/hour``, ``60/10s``, or ``off`` for no limit of our own.

    Raises ValueError when the text is none of these.
    """
    if text.strip().lower() == "off":
        return ()
    return tuple(_window(part) for part in text.split(","))


def _window(text: str) -> RateWindow:
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(?:(second|minute|hour|day)|(\d+(?:\.\d+)?)\s*([smh]))\s*", text)
    if not match or not match[1].strip("0"):
        raise ValueError("must be like 100/hour, 60/10s or 10/second, 100/hour; off for no limit")
    seconds = _PERIODS[match[2]] if match[2] else float(match[3]) * _UNITS[match[4]]
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ValueError("must have a period from a millisecond to a year")
    if len(match[1]) > _DIGITS:
        raise ValueError(f"must be a number of calls of at most {_DIGITS} digits; off for no limit")
    return RateWindow(int(match[1]), timedelta(seconds=seconds))

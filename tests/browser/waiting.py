"""Waiting for what no page shows."""

from __future__ import annotations

import time
from collections.abc import Callable


def awaited(condition: Callable[[], object], seconds: float, sentence: str) -> None:
    """Return once it holds; an assertion that names the sentence when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s: {sentence}"
        time.sleep(0.02)

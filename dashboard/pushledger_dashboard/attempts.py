"""How many wrong tokens may be tried: from one address, and from all together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Attempts"]

PERIOD = 60.0
FROM_ONE = 10
FROM_ALL = 100


class Attempts:
    """Counts failures of the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: deque[tuple[float, str]] = deque()

    def wait_for(self, address: str) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        now = self._clock()
        while self._failures and self._failures[0][0] <= now - PERIOD:
            self._failures.popleft()
        own = [at for at, its in self._failures if its == address]
        if len(own) >= FROM_ONE:
            return own[-FROM_ONE] + PERIOD - now
        if len(self._failures) >= FROM_ALL:
            return self._failures[-FROM_ALL][0] + PERIOD - now
        return 0.0

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        self._failures.append((self._clock(), address))

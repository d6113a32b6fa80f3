"""Help for tests that run against a sandbox."""

from __future__ import annotations


class ManualClock:
    """A clock for `Sandbox(clock=…)` that moves only when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time, in Unix seconds."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

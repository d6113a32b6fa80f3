"""A round of delivery: the shifts of one task, of all accounts that come due while it works, in one event loop.

A task is woken for one account. With as many tasks at work as there are processes, the wake-up of another account would
wait for one of them to end: for a shift at least, and for as long as a call may hang. So each round looks around, and
begins a shift of every other account that is due: a busy, a hanging or a paused account holds up nobody but itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["LOOK_AROUND", "Round"]

log = logging.getLogger(__name__)

LOOK_AROUND = 0.5
SHORTEST_SHIFT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """``work`` is one account's shift, for so long; ``due`` tells which accounts have work but those it is told of.

    ``shift`` is how long the round works. Calls in the air then end, which takes ``ending`` at most: meanwhile shifts
    of other accounts still begin. It does not begin any after that, as tasks of the intake wait for a process too.
    """

    work: Callable[[str, timedelta], Awaitable[None]]
    due: Callable[[Collection[str]], Awaitable[Collection[str]]]
    stopping: Callable[[], bool]
    shift: timedelta
    ending: timedelta

    async def run(self, account: str) -> None:
        """Work until all shifts have ended. Raises what the first of them raised, when all have."""
        clock = asyncio.get_running_loop().time
        ends = clock() + self.shift.total_seconds()
        at_work: dict[str, asyncio.Task[None]] = {}
        errors: dict[str, BaseException] = {}

        def begin(name: str) -> None:
            left = timedelta(seconds=max(SHORTEST_SHIFT, ends - clock()))
            at_work[name] = asyncio.ensure_future(self.work(name, min(left, self.shift)))

        begin(account)
        while at_work:
            await asyncio.wait(at_work.values(), timeout=LOOK_AROUND, return_when=asyncio.FIRST_COMPLETED)
            for name, task in list(at_work.items()):
                if task.done():
                    del at_work[name]
                    if error := task.exception():
                        # What one account does wrong holds up no other; this one waits for the next round.
                        log.error(
                            "the shift of account %s broke: %s", name, type(error).__name__,
                            extra={"action": "shift_broke", "account": name},
                        )  # fmt: skip
                        errors[name] = error
            if at_work and not self.stopping() and clock() < ends + self.ending.total_seconds():
                for name in await self.due(at_work.keys() | errors.keys()):
                    begin(name)
        for error in errors.values():
            raise error

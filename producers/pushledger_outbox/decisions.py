"""What a relay decides, as pure functions: whether a row may be handed to the ledger (again), and how long to wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

from pushledger.jobs import Job, version_number
from pushledger.message import Message

from pushledger_outbox.rows import Row

__all__ = ["JOBS_REMEMBERED", "UNSURE", "Decision", "decide", "wait_after"]

Decision: TypeAlias = Literal["submit", "settled", "unsure"]

# The ledger remembers job ids for 15 minutes (R7); the rest is room for clocks of hosts that disagree.
JOBS_REMEMBERED = timedelta(minutes=5)
UNSURE = (
    "it was handed over, but nobody can tell whether it was recorded, as the ledger has forgotten the message since; "
    "look at the chat, then retry the row or drop it"
)


def decide(row: Row, job: Job, message: Message | None, age: timedelta, remembered: timedelta) -> Decision:
    """Whether a row's job goes to the ledger, given what the ledger knows of the message now.

    ``age`` is counted from when it was last handed over, ``remembered`` is how long the ledger knows a message that is
    gone. A row that was handed over may have been recorded, so that an older text could come back:

    - The revision counts the accepted jobs. Is it as it was before, none was accepted since: handing over again is what
      it was the first time.
    - Else this job was recorded, or another one, which is newer than it: either way nothing is left to do. With
      versions the newer one is not the later one, so these are compared.
    - Is the message forgotten, the job's id may still be known. After that nobody can tell.
    """
    if row.revision is None:
        return "submit"
    if message is None:
        is_first = row.revision == 0 and age < remembered
        return "submit" if is_first or age < JOBS_REMEMBERED else "unsure"
    if age >= max(remembered, JOBS_REMEMBERED):
        return "unsure"
    if message.revision == row.revision:
        return "submit"
    if job.version is None:
        return "settled"
    is_older = message.version is None or message.version < int(version_number(job.version))
    return "submit" if is_older else "settled"


def wait_after(failures: int) -> timedelta:
    """How long to wait after so many failures in a row: from half a second, doubling, to half a minute."""
    return timedelta(seconds=min(30.0, 0.25 * 2 ** min(failures, 10)))

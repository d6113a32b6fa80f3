"""What the relay asks of a database. Each framework brings a store; all keep the same table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pushledger.errors import PushledgerError

from pushledger_outbox.rows import Row

__all__ = ["Standing", "Store", "StoreUnavailable"]


class StoreUnavailable(PushledgerError):
    """The database of the outbox did not do it. Says what kind of error it was, and holds no text of a job."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account's outbox stands: rows that wait, since when the oldest does, and rows that were refused."""

    waiting: int
    oldest_added_at: int | None
    refused: int


class Store(Protocol):
    """The rows of one account. Every method is a transaction of its own, and raises StoreUnavailable.

    Times are milliseconds since the epoch. A row is taken under a token until a time; that a token is no longer the
    row's own is no error, the row is left out then.
    """

    def take(self, token: str, now: int, until: int, limit: int) -> list[Row]:
        """Take rows that wait and are free: of each message the oldest alone, so that its jobs keep their order."""

    def hand_over(self, token: str, revisions: Mapping[int, int], now: int) -> set[int]:
        """Note, before they are handed over, each row's revision by its id; the ids that are the token's own."""

    def settle(self, token: str, done: Sequence[int], refused: Mapping[int, str], now: int) -> None:
        """Delete what is done, whoever holds it now; keep what was refused with its error."""

    def release(self, token: str, free_at: int) -> None:
        """Give back what the token still holds; nobody takes it before that time."""

    def standing(self) -> Standing:
        """How the outbox stands."""

    def refused(self, limit: int) -> list[Row]:
        """Rows that were refused, oldest first."""

    def retry(self, ids: Sequence[int]) -> int:
        """Let refused rows wait again, as if they had never been handed over; how many."""

    def drop(self, ids: Sequence[int]) -> int:
        """Delete refused rows; how many."""

    def prune(self, refused_before: int) -> int:
        """Delete rows that were refused before a time; how many."""

    def ddl(self) -> str:
        """The statements that make the table in this database."""

    def close(self) -> None:
        """Close all connections."""

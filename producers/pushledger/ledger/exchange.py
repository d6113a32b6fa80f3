"""An exchange with Redis as a value: the commands to send and how to read the replies.

The methods of the ledger build exchanges; the two connections, blocking and asyncio, carry them out. So every
method is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from pushledger.ledger.scripts import Script

__all__ = ["Argument", "Command", "Exchange", "Reply", "ScriptCall", "together"]

T = TypeVar("T")
Argument: TypeAlias = str | bytes | int | float
# What redis-py hands back with decoding on; narrowed by the reader of each exchange.
Reply: TypeAlias = "int | float | str | bytes | Sequence[Reply] | None"


@dataclass(frozen=True, slots=True)
class Command:
    """A plain Redis command."""

    parts: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of a script over the account's keys."""

    script: Script
    prefix: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Exchange(Generic[T]):
    """Commands for one round trip, and the reader of their replies."""

    commands: tuple[Command | ScriptCall, ...]
    read: Callable[[Sequence[Reply]], T]


def together(exchanges: Sequence[Exchange[T]]) -> Exchange[list[T]]:
    """Several exchanges in one round trip."""

    def read(replies: Sequence[Reply]) -> list[T]:
        found, start = list[T](), 0
        for exchange in exchanges:
            found.append(exchange.read(replies[start : start + len(exchange.commands)]))
            start += len(exchange.commands)
        return found

    return Exchange(tuple(command for exchange in exchanges for command in exchange.commands), read)

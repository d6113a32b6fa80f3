"""How a request ends, as values: an answer, a dropped connection, or silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from brevo_sandbox.wire import Json, dump


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, without the rate-limit headers: those depend on when it leaves; an empty one may have no type."""

    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    reset: int | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection ends without a word: by a reset, or by an orderly close."""

    abruptly: bool = True


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing is answered until the caller leaves, or this many seconds have passed."""

    seconds: float


Ending: TypeAlias = Reply | Drop | Hang


def reply(status: int, document: Json) -> Reply:
    """Answer with JSON."""
    return Reply(status, dump(document))


def refusal(status: int, code: str | None, message: str, *headers: tuple[str, str]) -> Reply:
    """Answer with the API's error shape."""
    document: dict[str, Json] = {"message": message} if code is None else {"code": code, "message": message}
    return Reply(status, dump(document), headers=headers)

"""Tokens: who may use the dashboard, and as what."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from pushledger.settings import is_account_name

__all__ = ["Role", "Token", "find_token", "parse_tokens"]

Role: TypeAlias = Literal["read", "operate"]
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)
_SECRET = re.compile(r"[\x21-\x2b\x2d-\x7e]{20,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A name, what it may do, and the secret's digest: the secret itself is not kept."""

    name: str
    role: Role
    digest: bytes = field(repr=False)
    accounts: frozenset[str] | None = None

    def may_see(self, account: str) -> bool:
        """Whether it is good for an account; one that names none is good for all."""
        return self.accounts is None or account in self.accounts

    @property
    def mark(self) -> str:
        """Tells this secret from one that takes its place, and gives nothing of it away."""
        return hashlib.sha256(b"mark " + self.digest).hexdigest()[:16]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Read tokens as ``name:role:token``, parted by commas or lines; lines that begin with # are left out. A role may
    be limited to accounts, as ``read@fr+de``.

    Raises ValueError, which quotes no secret.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    parts = [part.strip() for part in "\n".join(lines).replace(",", "\n").splitlines()]
    tokens = tuple(_token(number, part) for number, part in enumerate(filter(None, parts), start=1))
    if len({token.name for token in tokens}) < len(tokens) or len({token.digest for token in tokens}) < len(tokens):
        raise ValueError("must name each token once, and each must be another")
    return tokens


def _token(number: int, text: str) -> Token:
    name, _, rest = text.partition(":")
    limited, _, secret = rest.partition(":")
    role, at, names = limited.partition("@")
    accounts = frozenset(names.split("+")) if at else None
    if accounts is not None and not all(map(is_account_name, accounts)):
        raise ValueError(f"must name accounts as read@fr+de does; number {number} does not")
    if role not in get_args(Role) or not _NAME.fullmatch(name):
        raise ValueError(f"must be name:role:token, with the role read or operate; number {number} is not")
    if not _SECRET.fullmatch(secret):
        raise ValueError(f"must have tokens of 20 or more printable letters without blanks and commas; {name}'s is not")
    return Token(name, "operate" if role == "operate" else "read", _digest(secret), accounts)


def find_token(tokens: Sequence[Token], secret: str) -> Token | None:
    """The token with this secret. Takes as long for a wrong one as for a right one."""
    digest = _digest(secret)
    found = [token for token in tokens if hmac.compare_digest(token.digest, digest)]
    return found[0] if found else None

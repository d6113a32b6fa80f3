"""Sessions of browsers: a signed cookie that names a token, and the CSRF token that goes with it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from itsdangerous import BadData, URLSafeTimedSerializer

from pushledger_dashboard.tokens import Token

__all__ = ["Session", "Sessions"]


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that showed a token."""

    token: Token
    number: str
    csrf_token: str


class Sessions:
    """Begins, knows and ends sessions. Nothing is stored but those that were ended before their time."""

    def __init__(self, tokens: Sequence[Token], key: str | None, life: timedelta) -> None:
        self._tokens = {token.name: token for token in tokens}
        self._key = key or secrets.token_hex(32)
        self._life = life.total_seconds()
        self._serializer = URLSafeTimedSerializer(self._key, salt="pushledger dashboard session")
        self._ended: dict[str, float] = {}

    def begin(self, token: Token) -> str:
        """The cookie of a new session."""
        return str(self._serializer.dumps([token.name, token.mark, secrets.token_hex(16)]))

    def known(self, cookie: str) -> Session | None:
        """The session of a cookie; None if it is over, or its token has changed, or it was not made here."""
        try:
            name, mark, number = self._serializer.loads(cookie, max_age=int(self._life))
        except (BadData, ValueError, TypeError):
            return None
        token = self._tokens.get(name)
        if token is None or token.mark != mark or number in self._ended:
            return None
        return Session(token, number, self._csrf_token(number))

    def end(self, session: Session) -> None:
        """Its cookie is worth nothing from now on, in this process."""
        now = time.monotonic()
        self._ended = {number: until for number, until in self._ended.items() if until > now}
        self._ended[session.number] = now + self._life

    def _csrf_token(self, number: str) -> str:
        return hmac.new(self._key.encode(), b"csrf " + number.encode(), hashlib.sha256).hexdigest()

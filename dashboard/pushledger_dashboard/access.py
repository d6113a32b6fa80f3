"""Who asks, and whether they may: the dependencies ``Reader`` and ``Operator`` of every route.

A program shows a token as ``Authorization: Bearer …``. A browser logs in with a token once and then shows a signed
cookie; with that, every request that changes something must carry the CSRF token. Without tokens at all, everybody who
reaches the loopback address is the operator ``local``; what a page of another site makes a browser send is refused.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated, Never, TypeAlias
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pushledger_dashboard.attempts import Attempts
from pushledger_dashboard.problems import Problem, wait_header
from pushledger_dashboard.sessions import Session, Sessions
from pushledger_dashboard.settings import DashboardSettings
from pushledger_dashboard.switch import account_of
from pushledger_dashboard.tokens import Role, Token, find_token

__all__ = ["Access", "Known", "Operator", "Principal", "Reader", "require_operator", "require_reader"]

_SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. ``sees_texts``: texts and visitors are not hidden from them."""

    name: str
    role: Role
    sees_texts: bool
    session: Session | None = None
    is_person: bool = False
    token: Token | None = None

    def may_see(self, account: str) -> bool:
        """Whether they may see an account at all."""
        return self.token is None or self.token.may_see(account)

    @property
    def csrf_token(self) -> str:
        """What forms and scripts of a page send back; '' where none is needed."""
        return self.session.csrf_token if self.session else ""


class Access:
    """Knows the tokens, and finds out who asks."""

    def __init__(self, settings: DashboardSettings) -> None:
        key = settings.dashboard_session_key
        self._tokens = settings.tokens
        self._url = settings.dashboard_url
        self._read_texts = settings.dashboard_read_texts
        self.is_open = not settings.tokens
        self.session_for = settings.dashboard_session_for
        self.sessions = Sessions(settings.tokens, key.get_secret_value() if key else None, self.session_for)
        self._attempts = Attempts()

    def is_secure(self, request: Request) -> bool:
        """Whether the browser came by https."""
        return request.url.scheme == "https" or self._url.startswith("https:")

    def cookie_name(self, request: Request) -> str:
        """The session's cookie; the prefix forbids other hosts of the domain to set it."""
        return "__Host-pushledger" if self.is_secure(request) else "pushledger"

    def principal(self, request: Request) -> Principal | None:
        """Who asks; None if they show nothing. Raises Problem for a token that is wrong."""
        if self.is_open:
            return Principal(LOCAL, "operate", True, is_person=_is_of_a_browser(request))
        authorization = request.headers.get("authorization")
        if authorization is not None:
            scheme, _, secret = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise _unauthorized("authorization: must be Bearer and a token")
            return self._named(find_token(self._tokens, secret.strip()) or self._refused(request))
        session = self.sessions.known(request.cookies.get(self.cookie_name(request), ""))
        return self._named(session.token, session) if session else None

    def log_in(self, request: Request, secret: str) -> Token:
        """The token with this secret. Raises Problem: it is wrong, or too many wrong ones were tried."""
        self._check_attempts(request)
        return find_token(self._tokens, secret) or self._refused(request)

    def _refused(self, request: Request) -> Never:
        # A right token is not kept waiting by those who try wrong ones from behind the same proxy.
        self._check_attempts(request)
        self._attempts.failed(_address(request))
        raise _unauthorized("the token is not known")

    def _check_attempts(self, request: Request) -> None:
        wait = self._attempts.wait_for(_address(request))
        if wait:
            raise Problem(429, "too many wrong tokens were tried; wait a minute", headers=wait_header(wait))

    def _named(self, token: Token, session: Session | None = None) -> Principal:
        sees = token.role == "operate" or self._read_texts
        return Principal(token.name, token.role, sees, session, is_person=session is not None, token=token)

    def is_of_this_site(self, request: Request) -> bool:
        """Whether no page of another site made the browser send this."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = request.headers.get("origin")
        if origin is None or origin == self._url:
            return True
        try:
            return urlsplit(origin).netloc == request.headers.get("host", "")
        except ValueError:
            return False


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_of_a_browser(request: Request) -> bool:
    return "sec-fetch-site" in request.headers or "origin" in request.headers


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


def access_of(request: Request) -> Access:
    """The app's access."""
    access: Access = request.app.state.access
    return access


# Only for the OpenAPI description: it says that a token is shown, and decides nothing.
_BEARER = HTTPBearer(auto_error=False, description="A token of PUSHLEDGER_DASHBOARD_TOKENS.")


async def require_known(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)] = None
) -> Principal:
    """Whoever may use the dashboard, for whichever account. Raises Problem 401."""
    principal = access_of(request).principal(request)
    if principal is None:
        raise _unauthorized("show a token (Authorization: Bearer …), or log in")
    if request.method not in _SAFE:
        await _check_origin(request, principal)
    return principal


async def require_reader(request: Request, principal: Annotated[Principal, Depends(require_known)]) -> Principal:
    """Whoever may look at this account. Raises Problem 401 or 403."""
    account = account_of(request)
    if not principal.may_see(account):
        raise Problem(403, f"the token {principal.name} is not good for the account {account}; see /accounts")
    return principal


async def require_operator(principal: Annotated[Principal, Depends(require_reader)]) -> Principal:
    """Whoever may act. Raises Problem 401 or 403."""
    if principal.role != "operate":
        raise Problem(403, f"the token {principal.name} may only read; this needs the role operate")
    return principal


async def _check_origin(request: Request, principal: Principal) -> None:
    access = access_of(request)
    if principal.session is None and not access.is_open:
        return  # a token in a header: no browser adds it by itself
    if not access.is_of_this_site(request):
        raise Problem(403, "origin: a page of another site may not do this")
    if principal.session is not None and not hmac.compare_digest(
        (await _csrf_shown(request)).encode(), principal.csrf_token.encode()
    ):
        raise Problem(403, "csrf_token: must be sent with this request; load the page again")


async def _csrf_shown(request: Request) -> str:
    shown = request.headers.get("x-csrf-token")
    if shown is not None:
        return shown
    return (await form_of(request)).get("csrf_token", "")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that a browser sent; the last one of each name."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    try:
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise Problem(400, "the form cannot be read") from None
    return {name: values[-1] for name, values in fields.items()}


Known: TypeAlias = Annotated[Principal, Depends(require_known)]
Reader: TypeAlias = Annotated[Principal, Depends(require_reader)]
Operator: TypeAlias = Annotated[Principal, Depends(require_operator)]

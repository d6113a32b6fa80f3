"""Settings of the dashboard: those of the producers, where to listen, and who may do what."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pushledger.settings import Duration, Settings
from pydantic import Field, SecretStr, field_validator, model_validator

from pushledger_dashboard.tokens import Token, parse_tokens

__all__ = ["DashboardSettings", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host of this name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class DashboardSettings(Settings):
    """Everything the dashboard needs; raises SettingsError naming the variable and the rule."""

    dashboard_host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback only with tokens.")
    dashboard_port: int = Field(8026, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    dashboard_tokens: SecretStr = Field(
        SecretStr(""),
        description="Who may use it: `name:role:token`, parted by commas; the role is `read` or `operate`, "
        "or limited to accounts, as `read@fr+de`.",
    )
    dashboard_tokens_file: Path | None = Field(
        None, description="A file with the tokens, one a line; read at the start."
    )
    dashboard_read_texts: bool = Field(
        False, description="Let the role `read` see texts and visitors, and search by visitor."
    )
    dashboard_url: str = Field(
        "", description="Where browsers reach it, if a proxy stands before it: https there marks the cookies secure."
    )
    dashboard_session_key: SecretStr | None = Field(
        None, description="Signs the sessions of browsers. Not set: made anew at each start, which ends them all."
    )
    dashboard_session_for: Duration = Field(
        timedelta(hours=12), gt=timedelta(0), description="How long a browser stays logged in."
    )

    @field_validator("dashboard_url")
    @classmethod
    def _is_a_root(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query):
            raise ValueError("must be like https://messages.example.org, without a path")
        return url.rstrip("/")

    @field_validator("dashboard_session_key")
    @classmethod
    def _is_long(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < 32:
            raise ValueError("must be 32 or more random letters")
        return key

    @field_validator("dashboard_tokens")
    @classmethod
    def _can_be_read(cls, tokens: SecretStr) -> SecretStr:
        parse_tokens(tokens.get_secret_value())
        return tokens

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if self.dashboard_tokens.get_secret_value() and self.dashboard_tokens_file:
            raise ValueError("set only one of PUSHLEDGER_DASHBOARD_TOKENS and PUSHLEDGER_DASHBOARD_TOKENS_FILE")
        if self.tokens:
            return self
        if not is_loopback(self.dashboard_host):
            raise ValueError(
                "PUSHLEDGER_DASHBOARD_TOKENS: must be set to listen beyond loopback; or listen on 127.0.0.1"
            )
        if self.dashboard_url and not is_loopback(urlsplit(self.dashboard_url).hostname or ""):
            raise ValueError(
                "PUSHLEDGER_DASHBOARD_TOKENS: must be set when others reach it by PUSHLEDGER_DASHBOARD_URL"
            )
        return self

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Who may use the dashboard; nobody named means everybody on this machine."""
        if self.dashboard_tokens_file is None:
            return parse_tokens(self.dashboard_tokens.get_secret_value())
        try:
            text = self.dashboard_tokens_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"PUSHLEDGER_DASHBOARD_TOKENS_FILE: cannot be read: {type(error).__name__}") from None
        try:
            tokens = parse_tokens(text)
        except ValueError as error:
            raise ValueError(f"PUSHLEDGER_DASHBOARD_TOKENS_FILE: {error}") from None
        if not tokens:
            raise ValueError("PUSHLEDGER_DASHBOARD_TOKENS_FILE: must hold a token, or be left out")
        return tokens

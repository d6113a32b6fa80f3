"""Who hears of signals beside the log: a webhook, and a Python function of the operators' own."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import httpx
from pushledger.errors import SettingsError
from pushledger.signals import Signal
from pydantic import SecretStr

from pushledger_worker.settings import WorkerSettings

__all__ = ["Hook", "NotTold", "Receiver", "Webhook", "receivers", "signature"]

log = logging.getLogger(__name__)

# Each for connecting, sending and waiting. It runs in a thread of its own, so that nothing waits for it.
TIMEOUT = 5.0


class NotTold(Exception):
    """A receiver did not take the signals; it is worth another try."""


class Receiver(Protocol):
    """Takes signals."""

    name: str

    def tell(self, signals: Sequence[Signal]) -> None:
        """Hand the signals over; raises NotTold."""


def signature(secret: SecretStr, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over the timestamp, a dot and the body, as the webhook's header carries it."""
    signed = hmac.new(secret.get_secret_value().encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


class Webhook:
    """Posts signals as JSON, signed. Any answer but 2xx is no answer."""

    name = "webhook"

    def __init__(self, url: str, secret: SecretStr, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        self._secret = secret
        self._client = httpx.Client(
            timeout=TIMEOUT, follow_redirects=False, transport=transport, headers={"user-agent": "pushledger"}
        )

    def tell(self, signals: Sequence[Signal]) -> None:
        """Post them all at once; they are of one account."""
        document = {"account": signals[0].account, "signals": [signal.to_json() for signal in signals]}
        body, timestamp = json.dumps(document).encode(), f"{time.time():.0f}"
        headers = {
            "content-type": "application/json",
            "pushledger-timestamp": timestamp,
            "pushledger-signature": signature(self._secret, timestamp, body),
        }
        try:
            with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                status = response.status_code
        except Exception as error:  # its text may hold the address, which may hold a secret
            raise NotTold(type(error).__name__) from None
        if not 200 <= status < 300:
            raise NotTold(f"status {status}")


class Hook:
    """Calls a function with one signal after the other. What it raises is logged, and not tried again."""

    name = "hook"

    def __init__(self, function: Callable[[Signal], object]) -> None:
        self._function = function

    @classmethod
    def named(cls, path: str) -> Hook:
        """The function that ``package.module:function`` names; raises SettingsError when there is none."""
        module, _, name = path.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except Exception as error:  # whatever the module raises while it is imported
            reason = f"cannot be loaded ({type(error).__name__}: {error})"
            raise SettingsError(f"PUSHLEDGER_SIGNAL_HOOK: {reason}; name it as package.module:function") from error
        if not callable(function):
            raise SettingsError("PUSHLEDGER_SIGNAL_HOOK: must name a function that takes one Signal")
        return cls(function)

    def tell(self, signals: Sequence[Signal]) -> None:
        """Call it once for each."""
        for signal in signals:
            try:
                self._function(signal)
            except Exception:
                log.exception("the hook for signals broke", extra={"action": "signal_hook_broke", "id": signal.id})


def receivers(settings: WorkerSettings) -> list[Receiver]:
    """Those that the settings name; raises SettingsError."""
    found: list[Receiver] = []
    if settings.signal_url and settings.signal_secret is not None:
        found.append(Webhook(settings.signal_url, settings.signal_secret))
    if settings.signal_hook:
        found.append(Hook.named(settings.signal_hook))
    return found

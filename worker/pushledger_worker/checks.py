"""The worker's part of `pushledger check`: does the API accept the key? Costs one call of the budget at most."""

from __future__ import annotations

import os
import secrets
from datetime import timedelta

from pushledger.checks import Check
from pushledger.errors import LedgerUnavailable, SettingsError
from pushledger.ledger import AsyncLedger, Drawn
from pushledger.messages import AsyncMessages

from pushledger_worker.answer import Answer, Answered, Dropped, NotSent, Unanswered
from pushledger_worker.api import Api
from pushledger_worker.api_key import ApiKey
from pushledger_worker.plan import Probe
from pushledger_worker.process import boot_clock, delivery_options
from pushledger_worker.reading import REASONS, Reading
from pushledger_worker.served import settings_for
from pushledger_worker.settings import WorkerSettings

__all__ = ["check_api_key", "read_answer"]

_NAME = "api key"
_KEYS = ("PUSHLEDGER_API_KEY", "PUSHLEDGER_API_KEY_FILE", "PUSHLEDGER_ACCOUNTS_DIR")


async def check_api_key(messages: AsyncMessages) -> Check:
    """Read a message that cannot exist: an API that accepts the key answers 404."""
    if not any(os.environ.get(name) for name in _KEYS):
        return Check(_NAME, "skipped", f"none of {', '.join(_KEYS)} is set here; run it where a worker runs")
    try:
        settings = settings_for(messages.settings.account)
        ApiKey(settings.api_key, settings.api_key_file).current()
    except SettingsError as error:
        return Check(_NAME, "failed", str(error))
    ledger = AsyncLedger.from_url(settings.redis_url, settings.account, settings.policy(), settings.redis_timeout)
    try:
        answer = await _read(settings, ledger)
    except LedgerUnavailable:
        return Check(_NAME, "skipped", "the ledger is away, and each call is drawn from its budget")
    finally:
        await ledger.close()
    if isinstance(answer, Drawn):
        seconds = max(1, round(answer.wait.total_seconds()))
        return Check(_NAME, "skipped", f"no call is free for {seconds} s: {REASONS[answer.reason]}")
    return read_answer(answer)


async def _read(settings: WorkerSettings, ledger: AsyncLedger) -> Answer | Drawn:
    key = ApiKey(settings.api_key, settings.api_key_file).current
    call = Probe("pushed", f"pushledger-check-{secrets.token_hex(8)}")
    async with Api(settings.api_url, key, settings.call_timeout, boot_clock) as api:
        return await Reading(ledger, api, delivery_options(settings)).read(call, timedelta(0), polite=True)


def read_answer(answer: Answer) -> Check:
    """What the API's answer says of the key."""
    match answer:
        case Answered(status=200 | 404, is_html=False):
            return Check(_NAME, "ok", "the API accepts it")
        case Answered(status=401):
            return Check(_NAME, "failed", f"the API refuses it (401); put the right one into {' or '.join(_KEYS)}")
        case Answered(status=402 | 403 as status):
            return Check(_NAME, "failed", f"the API refuses the account ({status}); see its plan, and the key's rights")
        case Answered(status=429):
            return Check(_NAME, "warning", "the API's limit is reached (429): who else uses this key?")
        case Answered(status=status) if 300 <= status < 500:
            return Check(_NAME, "failed", f"no such API there ({status}); see PUSHLEDGER_API_URL")
        case Answered(status=status):
            return Check(_NAME, "failed", f"the API is in trouble ({status}); messages wait until it is over")
        case NotSent(detail) | Unanswered(detail):
            return Check(
                _NAME, "failed", f"the API cannot be reached ({detail}); see PUSHLEDGER_API_URL and the network"
            )
        case Dropped():
            return Check(_NAME, "skipped", "this machine was too slow to send the call in time; run it again")

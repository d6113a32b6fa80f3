"""Reading back against a real ledger, whatever the API says."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta

import pytest
import redis
from account import Account
from pushledger.ledger import AsyncLedger, Budget, LedgerPolicy
from pushledger_worker.answer import Answer, Answered
from pushledger_worker.delivery import DeliveryOptions
from pushledger_worker.plan import Call
from pushledger_worker.verdict import Limits
from pushledger_worker.verification import Verification, Verified

SECOND = timedelta(seconds=1)
LIMITS = Limits(backoff_first=SECOND, backoff_limit=SECOND, give_up_after=SECOND, settle_delay=SECOND)
OPTIONS = DeliveryOptions(
    budget=Budget(()),
    inflight=1,
    lease=60 * SECOND,
    call_timeout=30 * SECOND,
    shift=SECOND,
    shutdown_grace=SECOND,
    limits=LIMITS,
)


class Api:
    """Gives one answer to every call."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def perform(self, call: Call, send_by: float) -> Answer:
        assert send_by < math.inf
        return self.answer


@pytest.fixture
def shown(real_client: redis.Redis, account: str) -> Account:
    """An account in which "order:1" is delivered."""
    ledger = Account(real_client, account)
    ledger.now = ""  # type: ignore[assignment]  # the server's clock
    ledger.deliver("m1", text="A")
    return ledger


def verify(url: str, account: str, answer: Answer, *, repair: bool = False) -> Verified:
    async def run() -> Verified:
        ledger = AsyncLedger.from_url(url, account, LedgerPolicy(), SECOND)
        try:
            verification = Verification(ledger, Api(answer), OPTIONS)
            return await verification.verify("order:1", repair=repair, wait=timedelta(0))
        finally:
            await ledger.close()

    return asyncio.run(run())


@pytest.mark.parametrize("text", ["half of a pair: \ud83d", "", "😀" * 70_000], ids=["surrogate", "empty", "long"])
def test_whatever_text_is_shown_is_compared(valkey_url: str, account: str, shown: Account, text: str) -> None:
    assert verify(valkey_url, account, Answered(200, {}, {"text": text})).finding == "differs"

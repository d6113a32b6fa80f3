"""Reading back against a real ledger, whatever the API says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from account import DIGEST_KEY, Account, upsert
from pushledger.ledger import GENERAL_TIER, AsyncLedger, Budget, By, LedgerPolicy, Repairable
from pushledger_worker.answer import Answer, Answered, NotSent, Unanswered
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
    """Gives one answer to every call; `meanwhile` happens while it is under way."""

    def __init__(self, answer: Answer, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.answer = answer
        self.meanwhile = meanwhile
        self.send_by = math.inf

    async def perform(self, call: Call, send_by: float) -> Answer:
        self.send_by = send_by
        self.meanwhile()
        return self.answer


@pytest.fixture
def shown(real_client: redis.Redis, account: str) -> Account:
    """An account in which "order:1" is delivered, and its text kept."""
    ledger = Account(real_client, account, retention=timedelta(hours=1))
    ledger.now = ""  # type: ignore[assignment]  # the server's clock
    real_client.set(ledger.keys.digest_key, DIGEST_KEY.hex())
    ledger.deliver("m1", text="A")
    ledger.run(ledger.exchanges.begin(GENERAL_TIER))
    return ledger


def verify(
    url: str, account: str, api: Api, wake: Callable[[], object] = lambda: None, repair: bool = False
) -> Verified:
    async def run() -> Verified:
        ledger = AsyncLedger.from_url(url, account, LedgerPolicy(), SECOND)
        try:
            verification = Verification(ledger, api, OPTIONS, clock=lambda: 1000.0, wake=wake)
            repairs: frozenset[Repairable] = frozenset({"differs", "gone"}) if repair else frozenset()
            return await verification.verify("order:1", repair=repairs, wait=timedelta(0), by=By("maria"))
        finally:
            await ledger.close()

    return asyncio.run(run())


@pytest.mark.parametrize("text", ["half of a pair: \ud83d", "", "😀" * 70_000], ids=["surrogate", "empty", "long"])
def test_whatever_text_is_shown_is_compared(valkey_url: str, account: str, shown: Account, text: str) -> None:
    assert verify(valkey_url, account, Api(Answered(200, {}, {"text": text}))).finding == "differs"


def test_what_changes_while_it_is_read_is_moving(valkey_url: str, account: str, shown: Account) -> None:
    api = Api(Answered(200, {}, {"text": "B"}), lambda: shown.record(upsert(text="B")))
    found = verify(valkey_url, account, api, repair=True)
    assert (found.finding, found.repaired, found.cost_a_call) == ("moving", None, True)


def test_a_reading_leaves_early_enough_for_its_answer_to_come_within_the_lease(
    valkey_url: str, account: str, shown: Account
) -> None:
    api = Api(Answered(200, {}, {"text": "A"}))
    assert verify(valkey_url, account, api).finding == "same"
    assert api.send_by == 1000 + 60 - 30


def test_a_reading_is_handed_back(valkey_url: str, account: str, shown: Account) -> None:
    headers = {"x-sib-ratelimit-remaining": "7", "x-sib-ratelimit-reset": "60"}
    verify(valkey_url, account, Api(Answered(200, headers, {"text": "A"})))
    prefix = shown.keys.prefix
    assert shown.client.zcard(f"{prefix}errands") == 0
    assert shown.client.hget(f"{prefix}budget", "remaining") == "7"


def test_a_repair_wakes_a_delivery(valkey_url: str, account: str, shown: Account) -> None:
    woken: list[bool] = []
    api = Api(Answered(404, {}, {"message": "not found"}))
    assert verify(valkey_url, account, api, lambda: woken.append(True), repair=True).repaired == "queued"
    assert woken == [True]
    assert [(entry.action, entry.by) for entry in shown.run(shown.exchanges.audit(0, 10))] == [("repair", "maria")]


@pytest.mark.parametrize(
    "answer",
    [*(Answered(status, {}, {}) for status in (401, 403, 302, 500)), NotSent("refused"), Unanswered("ReadTimeout")],
    ids=repr,
)
def test_a_wrong_key_or_address_in_one_shell_does_not_stop_the_workers(
    valkey_url: str, account: str, shown: Account, answer: Answer
) -> None:
    """Nor does it end a pause that stands for trouble of theirs."""
    prefix = shown.keys.prefix
    for _ in range(6):
        assert verify(valkey_url, account, Api(answer)).finding == "unread"
    assert not shown.client.exists(f"{prefix}pause")
    shown.client.hset(f"{prefix}pause", mapping={"until": "1", "reason": "api_down", "trouble": "1", "strikes": "3"})
    verify(valkey_url, account, Api(answer))
    assert shown.client.hget(f"{prefix}pause", "strikes") == "3"


def test_a_429_to_a_reading_is_waited_out_by_all(valkey_url: str, account: str, shown: Account) -> None:
    verify(valkey_url, account, Api(Answered(429, {"x-sib-ratelimit-reset": "30"}, {})))
    assert shown.client.hget(f"{shown.keys.prefix}pause", "reason") == "rate_limited"


def test_a_walk_goes_on_after_the_id_that_it_is_told(valkey_url: str, account: str, shown: Account) -> None:
    shown.deliver("m2", "order:2")

    async def walk(after: str) -> list[str]:
        ledger = AsyncLedger.from_url(valkey_url, account, LedgerPolicy(), SECOND)
        try:
            return await Verification(ledger, Api(Answered(200, {}, {})), OPTIONS).walk("delivered", after)
        finally:
            await ledger.close()

    assert asyncio.run(walk("")) == ["order:1", "order:2"]
    assert asyncio.run(walk("order:1")) == ["order:2"]

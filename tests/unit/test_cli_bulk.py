"""Decisions about all messages in a state: counted, asked, done step by step, harmless to repeat."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result
from pushledger import AsyncMessages, Create, Messages
from pushledger.cli import cli
from pushledger.errors import LedgerUnavailable
from pushledger.ledger import Budget, LedgerPolicy, Settlement
from pushledger.ledger.ledger import AsyncLedger
from pushledger.settings import Settings

Run: TypeAlias = Callable[..., Result]


@pytest.fixture
def run(valkey_url: str, account: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line over a real ledger, an account of this test's own."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", valkey_url)
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", account)
    monkeypatch.setenv("PUSHLEDGER_BROKER_URL", "memory://")

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="pushledger")

    return invoke


def settle(number: int, kind: str, prefix: str = "order", **options: Any) -> None:
    """Create so many messages, and let the call of each end in this way."""

    async def deliver() -> None:
        settings = Settings()
        ledger = AsyncLedger.from_url(settings.redis_url, settings.account, LedgerPolicy(), settings.redis_timeout)
        await ledger.record([Create(f"{prefix}:{n}", f"{prefix}-{n}", "text", agent_id="a") for n in range(number)])
        claim = await ledger.claim(f"c-{prefix}", number, timedelta(seconds=60), Budget())
        settlement = Settlement(kind=kind, **options)  # type: ignore[arg-type]
        await ledger.settle([(claimed, settlement) for claimed in claim.messages], Budget())
        await ledger.close()

    asyncio.run(deliver())


def fail(number: int) -> None:
    settle(number, "refused", status=400)


def hold(number: int) -> None:
    settle(number, "confirmed", "held", status=200)  # an answer without an id


def counts() -> dict[str, int]:
    with Messages.from_env() as messages:
        return {state: number for state, number in messages.counts().items() if number}


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_dry_run_tells_the_messages_and_the_calls_and_does_nothing(run: Run) -> None:
    fail(3)
    result = run("retry", "--all-state", "failed", "--dry-run")
    assert result.stdout == "retry: 3 failed messages, 3 calls (nothing was done)\n"
    assert counts() == {"failed": 3}
    told = document(run("discard", "--all-state", "failed", "--dry-run", "--json"))
    assert told == {"action": "discard", "state": "failed", "dry_run": True, "messages": 3, "calls": 0, "refused": 0}


def test_a_person_is_asked_and_told_what_it_costs(run: Run) -> None:
    fail(1)
    refused = run("retry", "--all-state", "failed", stdin="n\n")
    assert (refused.exit_code, refused.stdout, counts()) == (1, "", {"failed": 1})
    assert "retry: 1 failed message, 1 call. Go on?" in refused.stderr
    silent = run("retry", "--all-state", "failed", stdin="")
    assert (silent.exit_code, counts()) == (1, {"failed": 1})
    agreed = run("retry", "--all-state", "failed", stdin="y\n")
    assert (agreed.exit_code, agreed.stdout) == (0, "retry: 1 failed message, 1 call\n")
    assert counts() == {"queued": 1}


@pytest.mark.parametrize(
    ("bring", "arguments", "ends"),
    [
        (fail, ("retry", "--all-state", "failed"), {"queued": 5}),
        (fail, ("discard", "--all-state", "failed"), {"deleted": 5}),
        (hold, ("resend", "--all-state", "held"), {"queued": 5}),
        (hold, ("discard", "--all-state", "held"), {"deleted": 5}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_all_in_a_state_are_decided_and_again_is_harmless(
    run: Run, bring: Callable[[int], None], arguments: tuple[str, ...], ends: dict[str, int]
) -> None:
    bring(5)
    assert document(run(*arguments, "--yes", "--json"))["messages"] == 5
    assert counts() == ends
    again = run(*arguments, "--yes")
    assert (again.exit_code, ": 0 " in again.stdout) == (0, True)
    assert counts() == ends


def test_more_than_one_step_is_gone_through_to_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are of 200; each is one entry of the audit trail, with who did it and why."""
    real = AsyncMessages.bulk
    monkeypatch.setattr(AsyncMessages, "bulk", functools.partialmethod(real, within=timedelta(0)))
    fail(450)
    assert document(run("retry", "--all-state", "failed", "--dry-run", "--json"))["messages"] == 450
    result = run("retry", "--all-state", "failed", "--yes", "--why", "the API was down")
    assert result.stdout == "retry: 450 failed messages, 450 calls\n"
    assert counts() == {"queued": 450}
    with Messages.from_env() as messages:
        entries = messages.audit()
    assert sum(entry.messages or 0 for entry in entries) == 450
    assert {entry.why for entry in entries} == {"the API was down"}


def test_a_reason_and_a_limit_choose(run: Run) -> None:
    fail(4)
    settle(2, "unsent", "old", status=503, give_up=True)
    refused = ("retry", "--all-state", "failed", "--reason", "refused", "--yes", "--json")
    assert document(run(*refused, "--limit", "3"))["messages"] == 3
    assert document(run(*refused))["messages"] == 1
    assert counts() == {"failed": 2, "queued": 4}
    assert document(run("retry", "--all-state", "failed", "--reason", "no_such", "--yes", "--json"))["messages"] == 0


def test_what_a_decision_does_not_fit_is_told(run: Run) -> None:
    """What the API no longer has cannot be edited: it must be created anew."""
    settle(1, "confirmed", status=200, message_id="m1")
    with Messages.from_env() as messages:
        messages.update("order:0", text="two")

    async def gone() -> None:
        settings = Settings()
        ledger = AsyncLedger.from_url(settings.redis_url, settings.account, LedgerPolicy(), settings.redis_timeout)
        (claimed,) = (await ledger.claim("c2", 1, timedelta(seconds=60), Budget())).messages
        await ledger.settle([(claimed, Settlement(kind="gone", status=404))], Budget())
        await ledger.close()

    asyncio.run(gone())
    settle(1, "refused", "fits", status=400)
    result = run("retry", "--all-state", "failed", "--yes")
    assert result.stdout == "retry: 1 failed message, 1 call; 1 more it does not fit\n"


def test_a_ledger_that_goes_away_meanwhile_says_how_far_it_came(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(3)
    real, steps = AsyncMessages.bulk, list[int]()

    async def stumbling(self: AsyncMessages, *arguments: Any, **options: Any) -> Any:
        if options["dry_run"]:
            return await real(self, *arguments, **options)
        steps.append(1)
        if len(steps) > 1:
            raise LedgerUnavailable("the ledger is away")
        return await real(self, *arguments, **{**options, "limit": 2})

    monkeypatch.setattr(AsyncMessages, "bulk", stumbling)
    result = run("retry", "--all-state", "failed", "--yes")
    assert result.exit_code == 1
    assert "2 were done before; the same command goes on with the rest" in result.stderr
    assert counts() == {"failed": 1, "queued": 2}


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry",),
        ("retry", "order:1", "--all-state", "failed"),
        ("retry", "--all-state", "held"),
        ("resend", "--all-state", "failed"),
        ("discard", "--all-state", "delivered"),
        ("discard", "--all-state", "held", "--limit", "0"),
        ("retry", "order:1", "--dry-run"),
        ("retry", "order:1", "--limit", "5"),
        ("resend", "order:1", "--reason", "refused"),
    ],
    ids=" ".join,
)
def test_wrong_input_is_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, "Error: " in result.stderr) == (2, True)

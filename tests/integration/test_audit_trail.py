"""The audit trail says who did what and why, once; history, heartbeat and the time until a change is shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from account import Account, MakeAccount, create
from click.testing import CliRunner
from pushledger.cli import cli
from pushledger.errors import InvalidJob
from pushledger.ledger import GENERAL_TIER, By, shown_within
from pushledger.ledger.audit import AuditEntry

MINUTE = timedelta(minutes=1)
ANNA = By("anna", "the API is well again")


def fail(ledger: Account) -> None:
    ledger.record(create())
    ledger.settle(ledger.claim_one(), "refused", status=400)


def trail(ledger: Account) -> list[AuditEntry]:
    return ledger.run(ledger.exchanges.audit(0, 100))


def test_a_decision_is_noted_once_however_often_its_script_runs(make: MakeAccount) -> None:
    """The same command sent again, as after a lost reply."""
    ledger = make()
    fail(ledger)
    exchange = ledger.exchanges.decide("retry", "order:1", "decision-1", {}, ANNA)
    ledger.run(exchange)
    ledger.run(exchange)
    (entry,) = trail(ledger)
    assert (entry.action, entry.outcome, entry.local_id) == ("retry", "queued", "order:1")
    assert (entry.by, entry.why) == ("anna", "the API is well again")
    timeline = ledger.run(ledger.exchanges.timeline("order:1"))
    assert (timeline[-1].event, timeline[-1].detail) == ("retry", "by hand: anna")


def test_a_refused_decision_is_not_noted(make: MakeAccount) -> None:
    """Nothing was done."""
    ledger = make()
    ledger.record(create())
    ledger.run(ledger.exchanges.decide("retry", "order:1", "decision-1", {}, ANNA))
    assert trail(ledger) == []


def test_pause_resume_and_forget_are_noted_once(make: MakeAccount) -> None:
    """Two pauses are two entries; one that was sent twice is one."""
    ledger = make()
    fail(ledger)
    pauses = [ledger.exchanges.pause(MINUTE, "a move", ANNA) for _ in range(2)]
    for exchange in (pauses[0], pauses[0], pauses[1], pauses[0]):
        ledger.run(exchange)
    for exchange in [ledger.exchanges.pause(None, "", ANNA)] * 2:
        ledger.run(exchange)
    for forget in [ledger.exchanges.forget("order:1", ANNA)] * 2:
        ledger.run(forget)
    said = [(entry.action, entry.outcome) for entry in trail(ledger)]
    assert said == [("forget", "forgotten"), ("resume", "resumed"), ("pause", "paused"), ("pause", "paused")]
    assert trail(ledger)[2].details == {"reason": "a move", "seconds": "60"}


def test_an_audited_job_is_noted_once_and_others_are_not(make: MakeAccount) -> None:
    """A person's change stands in the trail; a shop's stands in the timeline alone, with its name."""
    ledger = make()
    jobs = [("job-1", "life", create())]
    for _ in range(2):
        ledger.run(ledger.exchanges.record(jobs, b"key", By("shop")))
    assert trail(ledger) == []
    assert ledger.run(ledger.exchanges.timeline("order:1"))[0].detail == "create revision=1 by shop"
    for _ in range(2):
        ledger.run(ledger.exchanges.record([("job-2", "life", create("order:2"))], b"key", ANNA, audited=True))
    assert [(entry.action, entry.local_id) for entry in trail(ledger)] == [("create", "order:2")]


def test_the_trail_holds_neither_texts_nor_visitors(make: MakeAccount) -> None:
    """Whatever was done."""
    ledger = make()
    ledger.run(ledger.exchanges.record([("j", "l", create(text="a secret"))], b"key", ANNA, audited=True))
    held = repr(ledger.client.lrange(ledger.keys.audit, 0, -1))
    assert "a secret" not in held
    assert "visitor-1" not in held


def test_the_trail_is_bounded(make: MakeAccount) -> None:
    """The newest 10,000."""
    ledger = make()
    ledger.client.rpush(ledger.keys.audit, *['1 old {"action":"retry"}'] * 10_000)
    ledger.run(ledger.exchanges.pause(None, "", ANNA))
    assert ledger.client.llen(ledger.keys.audit) == 10_000
    assert trail(ledger)[0].action == "resume"


@pytest.mark.parametrize("values", [{"name": "a\nb"}, {"why": "x" * 501}, {"name": "x" * 101}], ids=repr)
def test_who_and_why_are_checked_at_the_door(values: dict[str, str]) -> None:
    """One line, not too long."""
    with pytest.raises(InvalidJob, match="printable"):
        By(**values)


def test_a_sample_is_taken_once_a_minute(make: MakeAccount) -> None:
    """Whoever asks; it holds the counters and how many messages wait."""
    ledger = make()
    ledger.record(create())
    for asker in "abc":
        ledger.run(ledger.exchanges.wake(asker, ledger.budget))
    ledger.pass_time(MINUTE)
    ledger.claim()
    for asker in "ab":
        ledger.run(ledger.exchanges.wake(asker, ledger.budget))
    first, second = ledger.run(ledger.exchanges.history(10))
    assert second.at - first.at == MINUTE
    assert (first.jobs, first.calls, first.waiting) == (1, 0, 1)
    assert (second.jobs, second.calls, second.waiting) == (1, 1, 1)
    ledger.client.rpush(ledger.keys.history, *[f"{ledger.now - 60_000} jobs=0"] * 1500)
    ledger.run(ledger.exchanges.wake("a", ledger.budget))
    assert ledger.client.llen(ledger.keys.history) == 1440


def test_a_heartbeat_is_when_a_delivery_began(make: MakeAccount) -> None:
    """And none before the first."""
    ledger = make()
    assert ledger.run(ledger.exchanges.heartbeat()).age is None
    ledger.run(ledger.exchanges.begin(GENERAL_TIER))
    ledger.pass_time(MINUTE)
    assert ledger.run(ledger.exchanges.heartbeat()).age == MINUTE


def test_the_time_until_a_change_is_shown_is_counted(make: MakeAccount) -> None:
    """From its acceptance, once for each change; answers 429 are counted too."""
    ledger = make()
    ledger.record(create())
    ledger.pass_time(timedelta(seconds=7))
    claimed = ledger.claim_one()
    for _ in range(2):
        ledger.settle(claimed, "confirmed", "m1", status=200)
    ledger.record(create("order:2"))
    ledger.settle(ledger.claim_one(), "unsent", status=429, counts=False)
    stats = ledger.run(ledger.exchanges.stats())
    assert stats["throttled"] == 1
    assert [number for _, number in shown_within(stats)] == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]


def test_the_command_line_says_who_and_why(
    valkey_url: str, account: str, real_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the login name of the operating system; a file of adoptions is left out, as it would fill the trail."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", valkey_url)
    monkeypatch.setenv("PUSHLEDGER_BROKER_URL", "memory://")
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", account)
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    fail(Account(real_client, account))

    def run(*arguments: str, stdin: str = "") -> None:
        done = CliRunner().invoke(cli, [*arguments], input=stdin)
        assert done.exit_code == 0, done.output

    run("retry", "order:1", "--why", "the key was renewed")
    run("pause", "--why", "a move")
    run("resume")
    run("adopt", "order:2", "--message-id", "m2", "--why", "found")
    run("adopt", "--from-csv", "-", stdin="local_id,message_id\norder:3,m3\n")
    run("forget", "order:2", "--yes")
    said = [(e.action, e.by, e.why, e.local_id) for e in reversed(trail(Account(real_client, account)))]
    assert said == [
        ("retry", "anna", "the key was renewed", "order:1"),
        ("pause", "anna", "a move", None),
        ("resume", "anna", "", None),
        ("adopt", "anna", "found", "order:2"),
        ("forget", "anna", "", "order:2"),
    ]

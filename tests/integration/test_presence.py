"""Agents kept online: by exactly one worker, within the budget, behind every message, without storms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from account import LEASE, START, Account, MakeAccount, create
from pushledger import Messages, Settings
from pushledger.errors import InvalidJob
from pushledger.ledger import AccountPause, By, Claimed, Heard, RateWindow
from pushledger.presence import Presence
from pushledger.targets import Agent

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LIZ = Agent("a-liz")
TOM = Agent(agent_email="tom@shop.example", agent_name="Tom", received_from="shop")


@pytest.fixture
def ledger(make: MakeAccount) -> Account:
    return make()


def keep_online(ledger: Account, agent: Agent = LIZ, duration: timedelta = HOUR) -> None:
    ledger.run(ledger.exchanges.keep_online(agent, None, duration))


def pings(ledger: Account, wanted: int = 10) -> list[Claimed]:
    return [claimed for claimed in ledger.claim(wanted).messages if claimed.wish == "ping"]


def ping(ledger: Account) -> Claimed:
    (claimed,) = pings(ledger)
    return claimed


def presence(ledger: Account, agent: Agent = LIZ) -> Presence:
    (found,) = [one for one in ledger.run(ledger.exchanges.presences()) if one.agent == agent]
    return found


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START / 1000 + seconds, UTC)


@pytest.mark.parametrize("agent", [LIZ, TOM], ids=["by id", "by e-mail"])
def test_an_agent_is_pinged_at_once_and_then_every_minute(ledger: Account, agent: Agent) -> None:
    keep_online(ledger, agent)
    first = ping(ledger)
    assert (first.local_id, first.target) == ("", agent.to_json())
    assert ledger.claim().messages == (), "one worker of all takes a ping"
    ledger.settle(first, "confirmed", status=201)
    assert presence(ledger, agent).pinged_at == at(0)
    ledger.pass_time(timedelta(seconds=59))
    assert ledger.claim().messages == ()
    ledger.pass_time(timedelta(seconds=1))
    assert ping(ledger).token != first.token


def test_a_claim_says_when_the_next_ping_is_due(ledger: Account) -> None:
    keep_online(ledger)
    assert ledger.run(ledger.exchanges.wake("tick", ledger.budget)) == (True, timedelta(0))
    claim = ledger.claim()
    assert claim.next_in == MINUTE


def test_pings_end_with_their_time(ledger: Account) -> None:
    keep_online(ledger, duration=timedelta(seconds=90))
    ledger.settle(ping(ledger), "confirmed", status=201)
    ledger.pass_time(MINUTE)
    ledger.settle(ping(ledger), "confirmed", status=201)
    ledger.pass_time(MINUTE)
    assert ledger.claim().messages == ()
    assert ledger.run(ledger.exchanges.presences()) == []
    assert ledger.claim().next_in is None, "nothing of it is left"


def test_asking_again_changes_the_time_and_costs_no_ping_more(ledger: Account) -> None:
    keep_online(ledger)
    ledger.settle(ping(ledger), "confirmed", status=201)
    ledger.pass_time(timedelta(seconds=5))  # longer than two pings are parted anyway
    ledger.run(ledger.exchanges.keep_online(LIZ, at(600), None))
    assert presence(ledger).until == at(600)
    assert ledger.claim().messages == ()
    assert presence(ledger).next_ping_at == at(60)


def test_a_time_that_is_over_is_refused_and_changes_nothing(ledger: Account) -> None:
    keep_online(ledger)
    with pytest.raises(InvalidJob, match="until: must be in the future"):
        ledger.run(ledger.exchanges.keep_online(LIZ, at(0), None))
    assert presence(ledger).until == at(3600)


def test_going_offline_ends_it_even_with_a_ping_in_the_air(ledger: Account) -> None:
    keep_online(ledger)
    claimed = ping(ledger)
    assert ledger.run(ledger.exchanges.go_offline(LIZ)) is True
    assert ledger.run(ledger.exchanges.go_offline(LIZ)) is False
    ledger.settle(claimed, "confirmed", status=201)
    assert ledger.run(ledger.exchanges.presences()) == []
    assert not ledger.client.exists(ledger.keys.agents, ledger.keys.presence), "nothing of the agent is left"
    ledger.pass_time(MINUTE)
    assert ledger.claim().messages == ()


def test_a_ping_waits_for_room_beside_the_messages(ledger: Account) -> None:
    keep_online(ledger)
    ledger.record(create())
    assert [one.wish for one in ledger.claim(1).messages] == ["show"]
    assert pings(ledger, 1)


def test_nobody_asks_for_a_ping_before_it_may_go(make: MakeAccount) -> None:
    ledger = make(RateWindow(2, HOUR))
    agents = [LIZ, TOM, Agent("a-3")]
    for agent in agents:
        keep_online(ledger, agent)
    first = ledger.claim()
    assert first.next_in == timedelta(seconds=1), "pings are parted"
    ledger.pass_time(timedelta(seconds=1))
    second = ledger.claim()
    assert second.next_in == LEASE + HOUR - timedelta(seconds=1), "no call is left"
    assert ledger.run(ledger.exchanges.wake("tick", ledger.budget)) == (False, second.next_in)


def test_every_message_that_can_go_goes_first(make: MakeAccount) -> None:
    ledger = make(RateWindow(2, HOUR))
    keep_online(ledger)
    for number in range(2):
        ledger.record(create(f"order:{number}", priority="low"))
    claimed = ledger.claim().messages
    assert [one.wish for one in claimed] == ["show", "show"]
    assert ledger.claim().messages == (), "no call is left for the ping"


def test_a_ping_draws_from_the_budget_and_keeps_its_slot_for_a_window(make: MakeAccount) -> None:
    window = RateWindow(1, timedelta(minutes=10))
    ledger = make(window)
    keep_online(ledger)
    claimed = ping(ledger)
    ledger.record(create())
    assert ledger.claim().messages == ()
    ledger.settle(claimed, "confirmed", status=201)
    ledger.pass_time(timedelta(minutes=9))
    assert ledger.claim().messages == ()
    ledger.pass_time(MINUTE)
    assert ledger.claim_one().local_id == "order:1"


def test_a_ping_that_was_not_sent_gives_its_slot_back(make: MakeAccount) -> None:
    ledger = make(RateWindow(1, HOUR))
    keep_online(ledger)
    ledger.settle(ping(ledger), "unsent")
    ledger.record(create())
    assert ledger.claim_one().local_id == "order:1"


def test_what_a_pings_answer_says_is_left_binds(ledger: Account) -> None:
    keep_online(ledger)
    ledger.settle(ping(ledger), "confirmed", status=201, heard=Heard(0, MINUTE))
    ledger.record(create())
    assert ledger.claim().messages == ()


def test_the_share_of_high_priority_is_not_pinged_away(make: MakeAccount) -> None:
    ledger = make(RateWindow(2, HOUR))
    ledger.budget = type(ledger.budget)(ledger.budget.windows, 0.5)
    for agent in (LIZ, TOM):
        keep_online(ledger, agent)
    ping(ledger)
    ledger.pass_time(timedelta(seconds=5))
    assert pings(ledger) == []
    ledger.record(create(priority="high"))
    assert ledger.claim_one().local_id == "order:1"


def test_many_agents_are_pinged_one_after_the_other_after_an_outage(ledger: Account) -> None:
    agents = [Agent(f"a-{number}") for number in range(20)]
    for agent in agents:
        keep_online(ledger, agent)
    ledger.pass_time(timedelta(minutes=30))
    taken = []
    for _ in range(30):  # three seconds of eager workers
        taken += pings(ledger)
        ledger.pass_time(timedelta(milliseconds=100))
    assert len(taken) == 3
    ledger.pass_time(timedelta(milliseconds=100))
    for _ in range(250):
        taken += pings(ledger)
        ledger.pass_time(timedelta(milliseconds=100))
    assert sorted(one.target for one in taken) == sorted(agent.to_json() for agent in agents), "each was pinged once"


def test_a_paused_account_pings_nobody(ledger: Account) -> None:
    keep_online(ledger)
    pause = AccountPause(timedelta(minutes=30), "key_refused", trouble=True)
    ledger.settle(ping(ledger), "unsent", status=401, pause=pause)
    ledger.pass_time(timedelta(minutes=10))
    assert ledger.claim().messages == ()
    ledger.pass_time(timedelta(minutes=21))
    assert pings(ledger) == [], "a ping is no probe"


def test_trouble_ends_though_nothing_but_pings_is_due(ledger: Account) -> None:
    keep_online(ledger)
    pause = AccountPause(timedelta(minutes=5), "unreachable", trouble=True)
    ledger.settle(ping(ledger), "unsent", pause=pause)
    ledger.pass_time(timedelta(minutes=6))
    claim = ledger.claim()
    assert [one.wish for one in claim.messages] == ["probe"]
    assert claim.next_in == timedelta(minutes=1), "one call at a time probes; nobody asks again before it ends"
    assert ledger.claim().messages == ()
    ledger.settle(claim.messages[0], "confirmed", status=404)
    ledger.settle(ping(ledger), "confirmed", status=201)


def test_trouble_is_not_probed_for_an_agent_whose_time_is_over(ledger: Account) -> None:
    keep_online(ledger, duration=MINUTE)
    pause = AccountPause(timedelta(minutes=5), "unreachable", trouble=True)
    ledger.settle(ping(ledger), "unsent", pause=pause)
    ledger.pass_time(timedelta(minutes=6))
    claim = ledger.claim()
    assert (claim.messages, claim.next_in) == ((), None)


def refuse_ping(ledger: Account) -> None:
    pause = AccountPause(timedelta(seconds=30), "account_refused", trouble=True)
    ledger.settle(ping(ledger), "unsent", status=403, pause=pause)


def test_an_agent_that_is_refused_while_others_pass_does_not_hold_up_the_account(ledger: Account) -> None:
    keep_online(ledger)
    for _ in range(2):
        refuse_ping(ledger)
        assert presence(ledger).refused is None
        ledger.pass_time(MINUTE)
        ledger.settle(ledger.claim_one(), "confirmed", status=404)  # the probe
    refuse_ping(ledger)
    assert presence(ledger).refused == 403
    assert ledger.run(ledger.exchanges.account(ledger.budget)).pause is None
    ledger.pass_time(MINUTE)
    assert ledger.claim().messages == ()
    keep_online(ledger)
    ledger.settle(ping(ledger), "confirmed", status=201)
    ledger.pass_time(MINUTE)
    refuse_ping(ledger)
    assert presence(ledger).refused is None, "a ping that passed begins the count anew"


def test_a_key_that_is_refused_for_everything_refuses_no_agent(ledger: Account) -> None:
    keep_online(ledger)
    refuse_ping(ledger)
    for _ in range(5):
        ledger.pass_time(MINUTE)
        pause = AccountPause(timedelta(seconds=30), "account_refused", trouble=True)
        ledger.settle(ledger.claim_one(), "unsent", status=403, pause=pause)
    ledger.pass_time(MINUTE)
    ledger.settle(ledger.claim_one(), "confirmed", status=404)
    ledger.settle(ping(ledger), "confirmed", status=201)


def test_a_refused_agent_is_shown_and_not_pinged_again_until_it_is_asked_for_again(ledger: Account) -> None:
    keep_online(ledger)
    ledger.settle(ping(ledger), "refused", status=400)
    assert (presence(ledger).refused, presence(ledger).next_ping_at) == (400, None)
    ledger.pass_time(MINUTE)
    assert ledger.claim().messages == ()
    keep_online(ledger)
    assert presence(ledger).refused is None
    ledger.settle(ping(ledger), "confirmed", status=201)


def test_a_settlement_that_is_written_twice_or_too_late_counts_once(ledger: Account) -> None:
    keep_online(ledger)
    claimed = ping(ledger)
    pause = AccountPause(MINUTE, "rate_limited", trouble=False)
    assert ledger.settle(claimed, "unsent", status=429, pause=pause).taken == "settled"
    ledger.run(ledger.exchanges.pause(None, ""))
    before = ledger.snapshot()
    assert ledger.settle(claimed, "unsent", status=429, pause=pause).taken == "stale"
    assert ledger.snapshot() == before


def test_a_worker_that_dies_with_a_ping_costs_one_ping(ledger: Account) -> None:
    keep_online(ledger)
    ping(ledger)  # and never settled
    ledger.pass_time(MINUTE)
    ledger.settle(ping(ledger), "confirmed", status=201)
    ledger.pass_time(MINUTE)
    ping(ledger)
    assert ledger.client.zcard(f"{ledger.keys.prefix}errands") == 1, "a lease that is over is forgotten"


def test_what_it_costs_is_said(make: MakeAccount) -> None:
    ledger = make()
    keep_online(ledger)
    assert presence(ledger).calls_per_hour == 60
    slow = make(ping_every=timedelta(minutes=2))
    keep_online(slow)
    assert presence(slow).calls_per_hour == 30


def test_a_message_of_high_priority_and_a_ping_do_not_share_the_last_call(make: MakeAccount) -> None:
    ledger = make(RateWindow(1, HOUR))
    keep_online(ledger)
    ledger.record(create(priority="high"))
    assert [one.wish for one in ledger.claim().messages] == ["show"]


@pytest.mark.parametrize("bounds", [{"until": datetime(2250, 1, 1, tzinfo=UTC)}, {"for_": timedelta(days=367)}])
def test_pings_must_end_within_a_year(valkey_url: str, account: str, bounds: dict[str, Any]) -> None:
    settings = Settings(redis_url=valkey_url, account=account, broker_url=valkey_url)
    with Messages(settings) as messages, pytest.raises(InvalidJob, match="366 days"):
        messages.keep_online(LIZ, **bounds)


def test_who_kept_an_agent_online_stands_in_the_audit_trail_once(ledger: Account) -> None:
    by = By("maria", "the Christmas rush")
    for exchange in (ledger.exchanges.keep_online(LIZ, None, HOUR, by), ledger.exchanges.go_offline(LIZ, by)):
        ledger.run(exchange)
        ledger.run(exchange)
    keep_online(ledger, TOM)  # by nobody in particular
    found = ledger.run(ledger.exchanges.audit(0, 10))
    assert [(entry.action, entry.by, entry.why, entry.details) for entry in found] == [
        ("go_offline", "maria", "the Christmas rush", {"agent": "a-liz"}),
        ("keep_online", "maria", "the Christmas rush", {"agent": "a-liz"}),
    ]

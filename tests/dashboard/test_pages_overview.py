"""The first page answers: what customers see, how late, how many may be doubled, what to do now."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from account import Account, create
from dashboard.browser import look
from dashboard.conftest import READ, TOKENS, OpenDashboard
from pushledger.jobs import Update
from pushledger.ledger import GENERAL_TIER, Budget, Sample, parse_rate
from pushledger_dashboard.views.overview import shown_after
from pushledger_dashboard.views.picture import SLOTS, picture
from pushledger_dashboard.views.times import moment, spoken

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, 12, 2, tzinfo=UTC)


def now_is_the_server_s(ledger: Account) -> None:
    ledger.now = None  # type: ignore[assignment]


async def test_an_empty_account_says_how_to_begin(dashboard: OpenDashboard) -> None:
    """With the command that brings the first message."""
    async with dashboard() as client:
        page = await look(client, "/")
        assert "Nothing was recorded yet" in page.text
        assert "pushledger create" in page.text
        assert "Nothing. No message is held or failed" in page.text
        assert "No worker has begun a delivery yet" in page.text
        assert "100 of 100 calls left" in page.text
        assert "No call was made in the last four hours." in page.text
        assert "nothing waits." in page.text


async def test_all_shown_is_said_so(dashboard: OpenDashboard, ledger: Account) -> None:
    """When nothing waits, and nothing needs a person."""
    now_is_the_server_s(ledger)
    for number in range(3):
        ledger.deliver(f"m{number}", f"order:{number}")
    async with dashboard() as client:
        page = await look(client, "/")
        assert "All 3 messages on display show their newest text." in page.text
        assert "Nothing waits: what was accepted is shown." in page.text
        assert "95 of 100 changes were shown within 1 second" in page.text
        assert "None was doubled; none is held." in page.text
        assert "Nothing was recorded yet" not in page.text


async def test_what_waits_is_counted_with_a_forecast(dashboard: OpenDashboard, ledger: Account) -> None:
    """At the budget that the workers keep to."""
    now_is_the_server_s(ledger)
    ledger.deliver("m", "order:0")
    ledger.record(Update("order:0", "B"))
    for number in range(1, 30):
        ledger.record(create(f"order:{number}"))
    ledger.run(ledger.exchanges.begin(Budget(parse_rate("10/hour"))))
    async with dashboard() as client:
        page = await look(client, "/")
        assert "0 messages or more show their newest text, 30 wait." in page.text
        assert "10 of 10 calls left" in page.text
        assert "All that waits is shown in about 2 hours." in page.text
        assert "/messages?state=queued" in page.links


async def test_what_waits_for_its_own_time_is_not_promised_in_seconds(
    dashboard: OpenDashboard, ledger: Account
) -> None:
    """A message that may go out in five hours is neither late nor shown soon."""
    now_is_the_server_s(ledger)
    ledger.record(create("order:1", not_before=datetime.now(UTC) + timedelta(hours=5, minutes=1)))
    async with dashboard() as client:
        page = await look(client, "/")
        assert "All that is due is shown." in page.text
        assert "The next is due in" in page.text


async def test_what_to_do_is_named_with_a_link(dashboard: OpenDashboard, ledger: Account) -> None:
    """Held, failed, paused, a full backlog, refused jobs: each with its number, and where to go."""
    now_is_the_server_s(ledger)
    ledger.record(create("order:1"))
    ledger.settle(ledger.claim_one(), "unknown", retry_in=timedelta(0))
    ledger.record(create("order:2"))
    ledger.settle(ledger.claim_one(), "refused", status=400)
    ledger.record(create("order:3"))
    at = datetime.now(UTC)
    for hours in (1, 30):
        document = {"verb": "update", "local_id": "x", "at": (at - timedelta(hours=hours)).isoformat()}
        ledger.run(ledger.exchanges.refuse(json.dumps(document), 10))
    async with dashboard(max_backlog=1) as client:
        await client.post("/v1/pause", json={"seconds": 600, "reason": "a move"})
        page = await look(client, "/")
        for sentence, href in (
            ("1 held message needs a decision", "/messages?state=held"),
            ("1 message failed", "/messages?state=failed"),
            ("The backlog is full: new jobs are refused: 1 of 1 wait.", "/messages?state=queued"),
            ("In the last day 1 job was refused by the intake", "/account#refused"),
            ("The account is paused until", "/account"),
        ):
            assert sentence in page.text, sentence
            assert href in page.links
        assert "a move" in page.text
        assert "1 is held for a person" in page.text
        assert "Nothing. No message" not in page.text


async def test_creates_that_were_sent_again_are_counted(dashboard: OpenDashboard, ledger: Account) -> None:
    """Until it turns out that one surely was not sent."""
    ledger.policy = type(ledger.policy)(max_resends=2)
    ledger.record(create("order:1"))
    for kind in ("unknown", "unknown", "unsent"):
        ledger.settle(ledger.claim_one(), kind, retry_in=timedelta(0))
        ledger.pass_time(timedelta(minutes=2))
    assert ledger.run(ledger.exchanges.stats())["sent_again"] == 1
    async with dashboard() as client:
        assert "At most 1 message may stand twice" in (await look(client, "/")).text


async def test_a_silent_worker_is_told_only_when_something_is_due(dashboard: OpenDashboard, ledger: Account) -> None:
    """And could be sent: neither with an empty ledger, nor while a pause stands."""
    silent = "no worker ever began one"
    real = round(datetime.now(UTC).timestamp() * 1000)
    ledger.now = real - 120_000
    ledger.record(create("order:1"))
    async with dashboard() as client:
        assert silent in (await look(client, "/")).text
        await client.post("/v1/pause", json={})
    async with dashboard() as client:
        assert silent not in (await look(client, "/")).text
        await client.post("/v1/resume", json={})
        ledger.now = real
        ledger.run(ledger.exchanges.begin(GENERAL_TIER))
    async with dashboard() as client:
        assert silent not in (await look(client, "/")).text


async def test_the_live_page_names_its_stream_and_its_parts(dashboard: OpenDashboard) -> None:
    """Each part that changes has an id, as the script swaps by it; those of account and workers too."""
    async with dashboard() as client:
        for path in ("/", "/account"):
            page = await look(client, path)
            assert page.has("body", **{"data-events": "/v1/events"})
            live = [values for _, values in page.tags if "data-live" in values]
            assert live
            assert all(values["id"] for values in live)
            assert page.has("script", src="/static/live.js")


async def test_readers_see_the_overview_without_forms(dashboard: OpenDashboard) -> None:
    """But the one to log out."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        await client.post("/login", data={"token": READ})
        for path in ("/", "/messages", "/account", "/audit", "/bulk"):
            page = await look(client, path)
            posts = [form.action for form in page.forms if form.method == "post"]
            assert posts == ["/logout"], path


# ---------------------------------------------------------------- views


def sample(minutes: float, **values: int) -> Sample:
    names = ("jobs", "calls", "folded", "unchanged", "cancelled", "throttled", "refused", "confirmed", "waiting")
    return Sample(at=NOW - timedelta(minutes=minutes), **{**dict.fromkeys(names, 0), **values})


def test_the_picture_shows_what_happened_between_samples() -> None:
    """In the slot of the later one, up to now; what is older than four hours is left out."""
    history = [
        sample(400, calls=1),
        sample(300, calls=5),
        sample(7, calls=8, confirmed=2, waiting=9),
        sample(1, calls=10, confirmed=4, throttled=1),
    ]
    found = picture(NOW, {"calls": 11, "outcome_confirmed": 4, "throttled": 1}, history)
    assert len(found.bars) == SLOTS
    last, before = found.bars[-1], found.bars[-2]
    assert (last.clock, last.calls, last.confirmed, last.throttled) == ("12:00", 3, 2, 1)
    assert (before.clock, before.calls, before.confirmed, before.waiting) == ("11:55", 3, 2, 9)
    assert sum(bar.calls for bar in found.bars) == 6
    assert found.most == 3
    assert last.calls_height == 100
    assert "6 calls" in found.summary


def test_the_picture_survives_counters_that_were_reset() -> None:
    """Nothing is drawn below zero."""
    found = picture(NOW, {}, [sample(3, calls=50), sample(2, calls=0)])
    assert all(bar.calls == 0 and bar.calls_height == 0 for bar in found.bars)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "less than a second"),
        (1, "1 second"),
        (89, "89 seconds"),
        (90, "2 minutes"),
        (3599, "1 hour"),
        (3900, "1 h 5 min"),
        (86_400, "24 hours"),
        (3 * 86_400, "3 days"),
        (4e8, "4,630 days"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """To two figures or so."""
    assert spoken(timedelta(seconds=seconds)) == words


def test_moments_are_shown_in_utc_and_from_now() -> None:
    """The same moment, whatever the zone it comes in."""
    zone = datetime.fromisoformat("2026-03-01T14:00:00+02:00")
    found = moment(zone, NOW)
    assert (found.iso, found.absolute, found.relative) == (
        "2026-03-01T12:00:00+00:00",
        "2026-03-01 12:00:00 UTC",
        "2 minutes ago",
    )
    assert moment(NOW + timedelta(hours=5), NOW).relative == "in 5 hours"
    assert moment(NOW, NOW).relative == "now"


def test_the_median_is_read_from_the_histogram() -> None:
    """The first step that holds the share; later than the last step when none does."""
    stats = {"shown_le_1": 4, "shown_le_60": 5, "shown_le_inf": 1}
    assert shown_after(stats, 0.4) == "within 1 second"
    assert shown_after(stats, 0.5) == "within 60 seconds"
    assert shown_after(stats, 0.95) == "later than 24 hours"
    assert shown_after({}, 0.5) == ""

"""Lists of messages and a message's page: in each state, with filters, escaped, and hidden from readers."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from account import Account, create
from dashboard.browser import look, press
from dashboard.conftest import OPERATE, READ, TOKENS, Client, OpenDashboard
from pushledger.jobs import Delete
from pushledger.message import STATES, LastError

pytestmark = pytest.mark.anyio

NASTY = "order/1 \"'><script>alert(1)</script>&amp;?#%2e\u202e\u2066/../x\t"


def fail(ledger: Account, local_id: str = "order:1", **options: str) -> None:
    ledger.record(create(local_id, **options))
    ledger.settle(ledger.claim_one(), "refused", status=400, error=LastError("answered", 400, "bad", "no such visitor"))


def hold(ledger: Account, local_id: str = "order:1") -> None:
    """With no re-send allowed, an unknown create is held at once."""
    ledger.record(create(local_id))
    ledger.settle(ledger.claim_one(), "unknown", retry_in=timedelta(0), error=LastError("unknown", 502))


def hold_deleted(ledger: Account) -> None:
    hold(ledger)
    ledger.record(Delete("order:1"))


# ---------------------------------------------------------------- lists


async def test_without_a_state_the_states_are_explained(dashboard: OpenDashboard, ledger: Account) -> None:
    """With their numbers."""
    fail(ledger)
    async with dashboard() as client:
        page = await look(client, "/messages")
        for state in STATES:
            assert f"/messages?state={state}" in page.links
        assert "It was given up, and waits for a retry or to be discarded." in page.text


@pytest.mark.parametrize("state", STATES)
async def test_an_empty_list_says_what_would_bring_a_message_there(dashboard: OpenDashboard, state: str) -> None:
    """Each state in its own words."""
    async with dashboard() as client:
        page = await look(client, "/messages", state=state)
        assert page.has("p", **{"class": "empty"})
        assert re.search(r"comes here|is here|stays here|leave a small entry", page.text)
        filtered = await look(client, "/messages", state=state, q="nothing")
        assert "Nothing fits what was asked for." in filtered.text


async def test_a_list_goes_on_to_its_end(dashboard: OpenDashboard, ledger: Account) -> None:
    """Newest first, in pages; each message once."""
    for number in range(120):
        ledger.now += 1
        ledger.record(create(f"order:{number:03}"))
    async with dashboard() as client:
        found, path = [], "/messages?state=queued"
        while path:
            page = await look(client, path)
            found += re.findall(r">(order:\d{3})</a>", page.html)
            following = [values["href"] for tag, values in page.tags if tag == "a" and values.get("rel") == "next"]
            path = following[0] if following else ""
        assert found == [f"order:{number:03}" for number in reversed(range(120))]
        assert "This is the end of the list." in page.text


async def test_filters_stand_in_the_address_and_in_the_form(dashboard: OpenDashboard, ledger: Account) -> None:
    """By priority, reason, and the beginning of the local id; on the following pages too."""
    fail(ledger, "failed:1")
    for number in range(60):
        ledger.record(create(f"order:{number:02}", priority="high" if number % 2 else "low"))
    async with dashboard() as client:
        high = await look(client, "/messages", state="queued", priority="high")
        ids = re.findall(r">(order:\d\d)</a>", high.html)
        assert len(ids) == 30
        assert all(int(one[-2:]) % 2 for one in ids)
        assert high.form("/messages").fields["priority"] == "high"
        prefix = await look(client, "/messages", state="queued", q="order:1")
        assert len(re.findall(r">(order:1\d)</a>", prefix.html)) == 10
        assert "failed:1" in (await look(client, "/messages", state="failed", reason="refused")).text
        assert "failed:1" not in (await look(client, "/messages", state="failed", reason="gone")).text


async def test_a_search_says_how_far_it_has_looked(dashboard: OpenDashboard, ledger: Account) -> None:
    """By local id, message id and visitor, over all states or one."""
    ledger.deliver("m1", "order:1")
    second = {"local_id": "order:2", "visitor_id": "visitor-2", "text": "A", "agent_id": "agent-1"}
    async with dashboard() as client:
        await client.post("/v1/messages/create", json=second)
        both = await look(client, "/messages", q="order:", by="prefix", state="", priority="", reason="")
        assert {"/messages/show?id=order%3A1", "/messages/show?id=order%3A2"} <= set(both.links)
        assert re.search(r"Looked at \d of \d\.", both.text)
        by_id = await look(client, "/messages", q="m1", by="message_id")
        assert "/messages/show?id=order%3A1" in by_id.links
        by_visitor = await look(client, "/messages", q="visitor-2", by="visitor_id")
        assert "/messages/show?id=order%3A2" in by_visitor.links
        one_state = await look(client, "/messages", q="visitor-2", by="visitor_id", state="held")
        assert "/messages/show?id=order%3A2" not in one_state.links


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/messages?state=nonsense", 422),
        ("/messages?state=queued&cursor=x", 422),
        ("/messages?state=queued&reason=" + "x" * 65, 422),
        ("/messages/show?id=", 422),
        ("/messages/show?id=nobody", 404),
        ("/bulk?action=nonsense", 422),
        ("/bulk?messages=-1", 422),
        ("/audit?skip=-1", 422),
        ("/nowhere", 404),
    ],
)
async def test_what_cannot_be_shown_is_a_page_too(dashboard: OpenDashboard, path: str, status: int) -> None:
    """For browsers; programs get a problem document."""
    async with dashboard() as client:
        page = await look(client, path, status)
        assert page.has("h1")
        assert page.has("p", role="alert")
        assert not page.has("meta", **{"http-equiv": "refresh"})
        program = await client.get(path)
        assert program.headers["content-type"] == "application/problem+json"


# ---------------------------------------------------------------- one message


async def test_a_message_s_page_tells_all_of_it(dashboard: OpenDashboard, ledger: Account) -> None:
    """State, why, text, visitor, what went wrong, timeline, fields."""
    hold(ledger)
    async with dashboard() as client:
        page = await look(client, "/messages/show", id="order:1")
        for words in (
            "Nobody can know whether the visitor sees it",
            "The reason: the answer to its create was lost",
            "A person has to decide",
            "visitor-1",
            "It is not known whether it was done (502)",
            "A job was accepted",
            "A create went out",
            "Held for a person",
            "Message id at the API not known",
            "1 job accepted",
        ):
            assert words in page.text, words
        assert page.has("ol", **{"class": "timeline"})
        assert page.has("body", **{"data-events": "/v1/events?local_id=order%3A1"})


async def test_waits_are_told_with_their_time(dashboard: OpenDashboard, ledger: Account) -> None:
    """The account's pause and budget too."""
    ledger.record(create())
    async with dashboard() as client:
        assert (
            "For nothing: the next free worker takes it." in (await look(client, "/messages/show", id="order:1")).text
        )
        await client.post("/v1/pause", json={"seconds": 600})
        page = await look(client, "/messages/show", id="order:1")
        assert re.search(r"The account is paused\. Until \d{4}-\d\d-\d\d .* UTC \(in 10 minutes\)", page.text)


@pytest.mark.parametrize(
    ("bring", "offered"),
    [
        (lambda ledger: hold(ledger), ["resend", "resolve", "discard"]),
        (lambda ledger: fail(ledger), ["retry", "discard"]),
        (lambda ledger: ledger.deliver(), ["delete"]),
        (lambda ledger: ledger.record(create()), ["delete"]),
        (lambda ledger: hold_deleted(ledger), ["resolve", "discard"]),
        (lambda ledger: (ledger.record(create()), ledger.record(Delete("order:1"))), []),
    ],
)
async def test_the_actions_offered_fit_the_state(
    dashboard: OpenDashboard, ledger: Account, bring: object, offered: list[str]
) -> None:
    """And the ledger takes each of them."""
    assert callable(bring)
    bring(ledger)
    async with dashboard() as client:
        page = await look(client, "/messages/show", id="order:1")
        buttons = [b["value"] for form in page.forms for b in form.buttons if form.action == "/messages/decide"]
        assert buttons == offered
        assert "/messages/forget?id=order%3A1" in page.links


async def test_a_decision_leads_back_with_a_notice(dashboard: OpenDashboard, ledger: Account) -> None:
    """Who and why stand in the audit trail."""
    fail(ledger)
    async with dashboard(dashboard_tokens=TOKENS) as client:
        await client.post("/login", data={"token": OPERATE})
        page = await look(client, "/messages/show", id="order:1")
        after = await press(client, page.form("/messages/decide", "retry"), "retry", why="visitor is back")
        assert after.status == 200
        assert "Done. order:1 will be tried again." in after.text
        assert "A change was accepted, and its call has not gone out yet." in after.text
        audit = await look(client, "/audit")
        assert "anna" in audit.text
        assert "visitor is back" in audit.text
        assert "/messages/show?id=order%3A1" in audit.links


async def test_resolve_takes_the_message_id(dashboard: OpenDashboard, ledger: Account) -> None:
    """And refuses an empty one, on the same page."""
    hold(ledger)
    async with dashboard() as client:
        form = (await look(client, "/messages/show", id="order:1")).form("/messages/decide", "resolve")
        refused = await press(client, form, "resolve", message_id=" ")
        assert (refused.status, refused.has("p", role="alert")) == (422, True)
        assert "Not done. message_id" in refused.text
        after = await press(client, form, "resolve", message_id="m-77")
        assert "has its message id now" in after.text
        assert ledger.message().message_id == "m-77"


async def test_one_click_in_a_list_leads_back_to_it(dashboard: OpenDashboard, ledger: Account) -> None:
    """With its filters."""
    for number in range(3):
        hold(ledger, f"order:{number}")
    async with dashboard() as client:
        page = await look(client, "/messages", state="held", reason="outcome_unknown")
        assert len([form for form in page.forms if form.action == "/messages/decide"]) == 6
        form = page.form("/messages/decide", "discard")
        after = await press(client, form, "discard")
        assert re.search(r"order:\d was discarded; the chat stays as it is", after.text)
        assert after.form("/messages").fields["reason"] == "outcome_unknown"
        again = await press(client, after.form("/messages/decide", "resend"), "resend")
        assert "will be sent once more" in again.text
        assert again.text.count("Done.") == 1
        elsewhere = {**form.fields, "id": "order:0", "action": "retry", "back": "//evil.example/messages?"}
        answer = await client.post("/messages/decide", data=elsewhere)
        assert "evil" not in answer.headers.get("location", "")


async def test_a_decision_that_does_not_fit_any_more_is_told(dashboard: OpenDashboard, ledger: Account) -> None:
    """Somebody else was quicker: the page says so, and shows how it stands now."""
    fail(ledger)
    async with dashboard() as client:
        form = (await look(client, "/messages/show", id="order:1")).form("/messages/decide", "retry")
        await press(client, form, "retry")
        page = await press(client, form, "retry")
        assert page.status == 409
        assert "Not done. retry: only a failed or expired message can be retried" in page.text
        unknown = await press(client, form, "retry", id="nobody")
        assert unknown.status == 404
        nonsense = await press(client, form, "explode")
        assert nonsense.status == 422


async def test_forgetting_asks_first(dashboard: OpenDashboard, ledger: Account) -> None:
    """With what it means; afterwards the message is not known."""
    ledger.deliver()
    async with dashboard() as client:
        page = await look(client, "/messages/forget", id="order:1")
        assert "The visitor goes on seeing what is there" in page.text
        after = await press(client, page.form("/messages/decide", "forget"), "forget")
        assert "order:1 was forgotten" in after.text
        await look(client, "/messages/show", 404, id="order:1")


async def test_deleting_is_a_job_of_a_person(dashboard: OpenDashboard, ledger: Account) -> None:
    """It waits for its call, and stands in the audit trail."""
    ledger.deliver()
    async with dashboard() as client:
        page = await look(client, "/messages/show", id="order:1")
        after = await press(client, page.form("/messages/decide", "delete"), "delete", why="wrong order")
        assert "order:1 will be deleted." in after.text
        assert "it is gone from the chat" in after.text
        assert "wrong order" in (await look(client, "/audit")).text


# ---------------------------------------------------------------- what others wrote


async def test_whatever_is_shown_is_text(dashboard: OpenDashboard, ledger: Account) -> None:
    """Local id, text, visitor, the API's words, who and why: nothing of it is markup, and nothing steers."""
    text = "<img src=x onerror=alert(2)>\u202etxet\n{{ 'ab' * 3 }}"
    ledger.record(create(NASTY, text, visitor="v<script>alert(3)</script>"))
    error = LastError("answered", 400, "<b>", "</p><script>alert(4)</script>\u202e")
    ledger.settle(ledger.claim_one(), "refused", status=400, error=error)
    async with dashboard() as client:
        for page in (
            await look(client, "/messages", state="failed"),
            await look(client, "/messages", q=NASTY, state="failed"),
            await look(client, "/messages/show", id=NASTY),
            await look(client, "/messages/forget", id=NASTY),
            await look(client, "/messages/show", 404, id=f"{NASTY}?"),
            await look(client, "/bulk", action="retry", state="failed", prefix=NASTY, reason="<script>"),
        ):
            assert not re.search(r"<script(?! src=)|<img src=x|<b>|ababab", page.html)
            assert "\u202e" not in re.sub(r'value="[^"]*"|<bdi>.*?</bdi>', "", page.html, flags=re.DOTALL)
        page = await look(client, "/messages/show", id=NASTY)
        assert "\\u202e" in page.text
        assert text in html.unescape(page.html)
        after = await press(client, page.form("/messages/decide", "retry"), "retry", why="<script>alert(5)</script>")
        assert (after.status, after.form("/messages/decide", "delete").fields["id"]) == (200, NASTY)
        audit = await look(client, "/audit")
        assert "<script>alert(5)" not in audit.html
        assert "<script>alert(5)" in audit.text


@pytest.mark.parametrize("local_id", ["a/b", "..", "a b", "?", "#x", "%2F", "ä€😀", "a&b=c", "+", "'\""])
async def test_any_local_id_has_a_page(dashboard: OpenDashboard, ledger: Account, local_id: str) -> None:
    """Reached by the link of a list, and by the redirect after an action."""
    fail(ledger, local_id)
    async with dashboard() as client:
        page = await look(client, "/messages", state="failed")
        (link,) = [href for href in page.links if href.startswith("/messages/show")]
        form = (await look(client, link)).form("/messages/decide", "retry")
        assert form.fields["id"] == local_id
        assert (await press(client, form, "retry")).status == 200


async def test_texts_are_hidden_from_readers(dashboard: OpenDashboard, ledger: Account) -> None:
    """On every page, the API's own words included; a setting allows them."""
    ledger.record(create("order:1", "a secret text", visitor="a secret visitor"))
    ledger.settle(ledger.claim_one(), "refused", status=400, error=LastError("answered", 400, "x", "secret words"))
    paths = ("/messages?state=failed", "/messages?q=order", "/messages/show?id=order%3A1", "/", "/audit")

    async def pages(client: Client, token: str) -> list[str]:
        await client.post("/login", data={"token": token})
        return [(await look(client, path)).html for path in paths]

    async with dashboard(dashboard_tokens=TOKENS) as client:
        assert all("secret" not in html for html in await pages(client, READ))
        hidden = await look(client, "/messages/show", id="order:1")
        assert "are hidden from those who may only read" in hidden.text
        assert not [form for form in hidden.forms if form.action != "/logout"]
        assert "visitor_id" not in (await look(client, "/messages")).html
        await look(client, "/messages", 403, q="a secret visitor", by="visitor_id")
        await look(client, "/messages/forget", 403, id="order:1")
    async with dashboard(dashboard_tokens=TOKENS) as client:
        assert "secret words" in (await pages(client, OPERATE))[2]
    async with dashboard(dashboard_tokens=TOKENS, dashboard_read_texts=True) as client:
        assert "a secret text" in (await pages(client, READ))[2]

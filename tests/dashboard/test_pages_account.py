"""Pause and resume, agents, refused jobs, the audit trail, bulk; and what every page has in common."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from account import Account, create
from dashboard.browser import Form, Page, look, press
from dashboard.conftest import OPERATE, READ, TOKENS, OpenDashboard
from pushledger.ledger import Budget, parse_rate

pytestmark = pytest.mark.anyio

POSTS = {
    "/messages/decide": {"id": "order:1", "action": "discard"},
    "/bulk": {"action": "discard", "state": "failed"},
    "/account/pause": {"minutes": "10"},
    "/account/resume": {},
    "/account/online": {"agent_id": "a", "hours": "1"},
    "/account/offline": {"agent": '{"agentId":"a"}'},
}
PATHS = ("/", "/messages", "/messages?state=failed", "/messages/show?id=order%3A1", "/messages/forget?id=order%3A1")
PAGES = (*PATHS, "/bulk", "/bulk?action=discard&state=failed", "/account", "/audit", "/nowhere")


def fail(ledger: Account, *local_ids: str) -> None:
    for local_id in local_ids:
        ledger.record(create(local_id))
        ledger.settle(ledger.claim_one(), "refused", status=400)


# ---------------------------------------------------------------- account


async def test_pause_and_resume(dashboard: OpenDashboard) -> None:
    """For so long, with a reason; both are told, and stand in the audit trail."""
    async with dashboard() as client:
        page = await look(client, "/account")
        assert "No pause stands." in page.text
        assert not [form for form in page.forms if form.action == "/account/resume"]
        form = page.form("/account/pause")
        paused = await press(client, form, minutes="60", reason="a move", why="ticket 31")
        assert "The account is paused." in paused.text
        assert re.search(
            r"Until [\d-]+ [\d:]+ UTC \(in (59|60) minutes|Until [\d-]+ [\d:]+ UTC \(in 1 hour", paused.text
        )
        assert "a move" in paused.text
        resumed = await press(client, paused.form("/account/resume"), why="moved")
        assert "The account is resumed" in resumed.text
        audit = await look(client, "/audit")
        assert "ticket 31" in audit.text
        assert "moved" in audit.text
        endless = await press(client, form, minutes="", reason="")
        assert "Until it is resumed: by hand" in endless.text


async def test_who_did_something_sees_it_on_the_first_page_at_once(dashboard: OpenDashboard) -> None:
    """Although askers within a second share one reading."""
    async with dashboard() as client:
        assert "no pause stands" in (await look(client, "/")).text
        paused = await press(client, (await look(client, "/account")).form("/account/pause"), reason="a move")
        assert "a move" in (await look(client, "/")).text
        await press(client, paused.form("/account/resume"))
        assert "no pause stands" in (await look(client, "/")).text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/account/pause", {"minutes": "x"}),
        ("/account/pause", {"minutes": "-5"}),
        ("/account/pause", {"minutes": "10", "reason": "x" * 201}),
        ("/account/pause", {"minutes": "10", "why": "two\nlines"}),
        ("/account/online", {"agent_id": "", "hours": "1"}),
        ("/account/online", {"agent_id": "a", "hours": ""}),
        ("/account/offline", {"agent": "[]"}),
        ("/account/offline", {"agent": "nonsense"}),
        ("/account/offline", {"agent": '{"agentId": 5}'}),
    ],
)
async def test_wrong_values_are_told_on_the_page(dashboard: OpenDashboard, path: str, fields: dict[str, str]) -> None:
    """And nothing is done."""
    async with dashboard() as client:
        page = await press(client, Form(path, "post"), **fields)
        assert (page.status, page.has("p", role="alert")) == (422, True)
        assert "Not done." in page.text
        assert (await client.get("/v1/audit")).json()["entries"] == []


async def test_agents_are_kept_online_and_let_go(dashboard: OpenDashboard) -> None:
    """With what that costs; by id, or by e-mail, name and mark."""
    async with dashboard() as client:
        page = await look(client, "/account")
        assert "No agent is kept online." in page.text
        assert "8 hours: 480 calls" in page.text
        form = page.form("/account/online")
        kept = await press(client, form, agent_id="agent<1>", hours="8")
        assert "The agent is kept online." in kept.text
        assert "agent<1>" in kept.text
        assert "agent<1>" in (await look(client, "/")).text
        by_mail = await press(
            client, form, agent_email="eve@example.org", agent_name="Eve", received_from="shop", hours="1"
        )
        assert "Eve <eve@example.org> (shop)" in by_mail.text
        gone = await press(client, by_mail.form("/account/offline"))
        assert "is not kept online any more" in gone.text
        assert len([form for form in gone.forms if form.action == "/account/offline"]) == 1
        trail = (await client.get("/v1/audit")).json()["entries"]
        assert [entry["action"] for entry in trail] == ["go_offline", "keep_online", "keep_online"]


async def test_refused_jobs_are_listed(dashboard: OpenDashboard, ledger: Account) -> None:
    """With what was wrong; nothing of them is markup, and a broken document breaks nothing."""
    at = datetime.now(UTC).isoformat()
    for document in (
        {"verb": "update", "local_id": "<b>1", "error": "UnknownLocalId", "field": "local_id", "rule": "no", "at": at},
        {"verb": "create", "at": "nonsense"},
    ):
        ledger.run(ledger.exchanges.refuse(json.dumps(document), 10))
    async with dashboard() as client:
        page = await look(client, "/account")
        assert "<b>1" not in page.html
        assert "<b>1" in page.text
        assert "local_id: no" in page.text
        assert "UnknownLocalId" in page.text


async def test_the_audit_trail_has_pages(dashboard: OpenDashboard) -> None:
    """A hundred entries each; an empty one says what comes there."""
    async with dashboard() as client:
        assert "Nobody has done anything yet." in (await look(client, "/audit")).text
        for number in range(101):
            await client.post("/v1/resume", json={"why": f"reason {number}."})
        first = await look(client, "/audit")
        assert first.text.count("reason ") == 100
        second = await look(client, "/audit?skip=100")
        assert "/audit?skip=100" in first.links
        assert "reason 0." in second.text
        assert second.text.count("reason ") == 1


# ---------------------------------------------------------------- bulk


async def test_bulk_shows_a_dry_run_first(dashboard: OpenDashboard, ledger: Account) -> None:
    """How many messages and calls, and how long the budget takes for them; nothing is changed."""
    fail(ledger, "order:1", "order:2", "other:3")
    ledger.run(ledger.exchanges.begin(Budget(parse_rate("1/hour"))))
    async with dashboard() as client:
        page = await look(client, "/bulk", action="retry", state="failed", prefix="order:")
        assert "2 messages" in page.text
        assert "It costs 2 calls to the API: 2 hours of the whole budget." in page.text
        assert ledger.message("order:1").state == "failed"
        one = await look(client, "/bulk", action="retry", state="failed", prefix="other:")
        assert "It costs 1 call to the API, of 1 in 1 hour." in one.text
        free = await look(client, "/bulk", action="discard", state="failed")
        assert "3 messages" in free.text
        assert "It costs no call to the API." in free.text
        nothing = await look(client, "/bulk", action="retry", state="failed", prefix="none")
        assert "There is nothing to retry." in nothing.text
        unfit = await look(client, "/bulk", action="resend", state="failed")
        assert "Resend does not fit failed messages." in unfit.text
        assert not [form for form in unfit.forms if form.action == "/bulk" and form.method == "post"]


async def test_bulk_is_done_step_by_step(
    dashboard: OpenDashboard, ledger: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A button for each step, which says how far it has come; it may be left at any time, and is audited."""
    monkeypatch.setattr("pushledger_dashboard.pages.bulk.DO_AT_ONCE", 2)
    fail(ledger, *(f"order:{number}" for number in range(5)))
    async with dashboard() as client:
        page = await look(client, "/bulk", action="retry", state="failed")
        done = []
        page = await press(client, _post_form(page), why="key")
        for _ in range(10):
            done.append(int(re.findall(r"(\d+) messages? done", page.text)[0]))
            if "Go on with the next" not in page.text:
                break
            page = await press(client, _post_form(page))
        assert done == [2, 4, 5]
        assert "Nothing is left to retry here." in page.text
        assert ledger.message("order:0").state == "queued"
        assert (await look(client, "/audit")).text.count("key") == 3


def _post_form(page: Page) -> Form:
    (form,) = [form for form in page.forms if form.action == "/bulk" and form.method == "post"]
    return form


async def test_opening_an_address_never_does_anything(dashboard: OpenDashboard, ledger: Account) -> None:
    """Not even that of a bulk that runs: only what is sent with a token does."""
    fail(ledger, "order:1")
    async with dashboard() as client:
        for path in (*PAGES, "/bulk?action=discard&state=failed&run=1&left=1&cursor="):
            await client.get(path, headers={"Accept": "text/html"})
        assert ledger.message().state == "failed"
        assert (await client.get("/v1/audit")).json()["entries"] == []


@pytest.mark.parametrize("fields", [{"action": "explode", "state": "failed"}, {"action": "retry", "state": "held"}])
async def test_bulk_refuses_what_does_not_fit(dashboard: OpenDashboard, fields: dict[str, str]) -> None:
    """An action that there is not, or not for that state; numbers that are none; a cursor that is none."""
    async with dashboard() as client:
        assert (await press(client, Form("/bulk", "post"), **fields)).status == 422
        good = {"action": "retry", "state": "failed"}
        for wrong in ({"messages": "x"}, {"left": "-1"}, {"calls": "1" * 13}, {"cursor": "x"}):
            assert (await press(client, Form("/bulk", "post"), **good, **wrong)).status == 422


# ---------------------------------------------------------------- every page


@pytest.mark.parametrize("path", POSTS)
async def test_what_a_page_changes_needs_role_and_csrf_token(dashboard: OpenDashboard, path: str) -> None:
    """Without the token of the page, with another, from another site, or as a reader: nothing happens."""
    fields = POSTS[path]
    async with dashboard(dashboard_tokens=TOKENS) as client:
        html = {"Accept": "text/html"}
        stranger = await client.post(path, data=fields, headers=html)
        assert (stranger.status_code, "Log in" in stranger.text) == (401, True)
        await client.post("/login", data={"token": OPERATE})
        page = await look(client, "/account")
        csrf = page.form("/account/pause").fields["csrf_token"]
        for sent, headers in (
            (fields, {}),
            ({**fields, "csrf_token": "0" * 64}, {}),
            ({**fields, "csrf_token": csrf}, {"Origin": "https://elsewhere.example"}),
        ):
            answer = await client.post(path, data=sent, headers={**html, **headers})
            assert answer.status_code == 403
            assert "Nothing was changed" in answer.text
        await client.post("/login", data={"token": READ})
        csrf = (await look(client, "/")).form("/logout").fields["csrf_token"]
        reader = await client.post(path, data={**fields, "csrf_token": csrf}, headers=html)
        assert reader.status_code == 403
        assert "may only read" in reader.text
        trail = await client.get("/v1/audit", headers={"Authorization": f"Bearer {OPERATE}"})
        assert trail.json()["entries"] == []


async def test_every_page_is_whole_and_runs_nothing_inline(dashboard: OpenDashboard, ledger: Account) -> None:
    """One h1, landmarks, a language, a skip link; scripts, styles and pictures only from /static."""
    fail(ledger, "order:1")
    async with dashboard() as client:
        for path in PAGES:
            answer = await client.get(path, headers={"Accept": "text/html"})
            page = Page(answer)
            assert [tag for tag, _ in page.tags].count("h1") == 1, path
            for landmark in ("header", "main", "nav"):
                assert page.has(landmark), (path, landmark)
            assert page.has("html", lang="en")
            assert page.has("a", **{"class": "skip", "href": "#main"})
            assert not re.search(r"\son\w+=|style=|javascript:|<style", page.html), path
            for tag, values in page.tags:
                if tag in ("script", "img", "link"):
                    source = values.get("src") or values.get("href")
                    assert source, (path, tag)
                    assert source.startswith("/static/"), (path, source)
                    assert (await client.get(source)).status_code == 200, source
                assert "style" not in values


async def test_every_field_has_a_label_and_every_id_is_one(dashboard: OpenDashboard, ledger: Account) -> None:
    """Columns have a scope; buttons have a name."""
    fail(ledger, "order:1", "order:2")
    ledger.record(create("order:3"))
    ledger.settle(ledger.claim_one(), "unknown", retry_in=timedelta(0))
    async with dashboard() as client:
        await client.post("/v1/pause", json={})
        for path in (*PAGES, "/messages?state=held", "/messages/show?id=order%3A3"):
            page = Page(await client.get(path, headers={"Accept": "text/html"}))
            ids = [values["id"] for _, values in page.tags if "id" in values]
            assert len(ids) == len(set(ids)), path
            labelled = {values.get("for") for tag, values in page.tags if tag == "label"}
            for tag, values in page.tags:
                if tag in ("input", "select") and values.get("type") != "hidden":
                    assert values.get("id") in labelled, (path, values)
                if tag == "th":
                    assert values.get("scope") in ("row", "col"), path
                for name in ("aria-labelledby", "aria-describedby"):
                    assert set(values.get(name, "").split()) <= set(ids), (path, values)


async def test_with_redis_away_the_page_says_so_and_asks_again(dashboard: OpenDashboard) -> None:
    """What happens to messages meanwhile; a form is not sent again by itself."""
    async with dashboard(redis_url="redis://127.0.0.1:1/0") as client:
        for path in ("/", "/messages?state=held", "/messages/show?id=x", "/account", "/audit"):
            page = await look(client, path, 503)
            assert "The ledger does not answer" in page.text
            assert "What was accepted before is kept there" in page.text
            assert page.has("meta", **{"http-equiv": "refresh", "content": "5"})
            assert "127.0.0.1:1" not in page.html
        form = await press(client, Form("/account/resume", "post"))
        assert form.status == 503
        assert "It is not known whether this was done." in form.text
        assert not form.has("meta", **{"http-equiv": "refresh"})

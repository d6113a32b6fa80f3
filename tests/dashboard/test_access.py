"""Who may do what, and what a browser may be talked into."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from account import Account, create
from dashboard.conftest import OPERATE, READ, TOKENS, OpenDashboard
from pushledger import SettingsError
from pushledger.message import LastError
from pushledger_dashboard.attempts import FROM_ALL, FROM_ONE, Attempts
from pushledger_dashboard.sessions import Sessions
from pushledger_dashboard.settings import DashboardSettings
from pushledger_dashboard.tokens import parse_tokens

pytestmark = pytest.mark.anyio

PUBLIC = {"/healthz", "/readyz", "/openapi.json", "/login", "/static"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def log_in(client: httpx.AsyncClient, token: str) -> str:
    """Begin a session; its CSRF token, as the page has it."""
    answer = await client.post("/login", data={"token": token, "next": "/"})
    assert answer.status_code == 303, answer.text
    page = await client.get("/")
    found = re.search(r'name="csrf-token" content="([0-9a-f]*)"', page.text)
    assert found
    return found[1]


# ---------------------------------------------------------------- tokens


async def test_nothing_is_told_without_a_token(dashboard: OpenDashboard) -> None:
    """Every path of the API, whatever the method, but those that say so."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert len(paths) > 20
        for path, methods in paths.items():
            for method in methods:
                answer = await client.request(method, path, json={})
                if path not in PUBLIC:
                    assert answer.status_code == 401, (method, path, answer.text)
                    assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer nonsense", "Basic eA==", "Bearer", f"Bearer {OPERATE}x"):
            answer = await client.get("/v1/overview", headers={"Authorization": wrong})
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_reader_may_change_nothing(dashboard: OpenDashboard) -> None:
    """Every request but those that look is refused."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        client.headers.update(bearer(READ))
        paths = (await client.get("/openapi.json")).json()["paths"]
        changing = [(method, path) for path, methods in paths.items() for method in methods if method != "get"]
        assert len(changing) >= 13
        for method, path in changing:
            answer = await client.request(method, path, json={})
            assert answer.status_code == 403, (path, answer.text)
        assert (await client.get("/v1/overview")).status_code == 200


async def test_texts_and_visitors_are_hidden_from_readers(
    dashboard: OpenDashboard, ledger: Account, settings: Callable[..., DashboardSettings]
) -> None:
    """In every answer, the API's own words included; nor may they be searched for. A setting allows it."""
    ledger.record(create("order:1", "a secret text", visitor="a secret visitor"))
    error = LastError("answered", 400, "bad", "the API says: a secret text")
    ledger.settle(ledger.claim_one(), "refused", status=400, error=error)
    questions = (
        ("/v1/message", {"local_id": "order:1"}),
        ("/v1/messages", {"state": "failed"}),
        ("/v1/search", {"by": "prefix", "q": "order"}),
        ("/v1/message/timeline", {"local_id": "order:1"}),
    )
    async with dashboard(dashboard_tokens=TOKENS) as client:
        for path, parameters in questions:
            shown = (await client.get(path, params=parameters, headers=bearer(READ))).text
            assert "order:1" in shown or "accepted" in shown
            assert "secret" not in shown, path
        search = {"by": "visitor_id", "q": "a secret visitor"}
        assert (await client.get("/v1/search", params=search, headers=bearer(READ))).status_code == 403
        assert (await client.get("/v1/search", params=search, headers=bearer(OPERATE))).status_code == 200
        full = (await client.get("/v1/message", params={"local_id": "order:1"}, headers=bearer(OPERATE))).json()
        assert (full["text"], full["visitor_id"], full["texts_hidden"]) == ("a secret text", "a secret visitor", False)
    async with dashboard(dashboard_tokens=TOKENS, dashboard_read_texts=True) as client:
        shown = await client.get("/v1/message", params={"local_id": "order:1"}, headers=bearer(READ))
        assert shown.json()["text"] == "a secret text"


# ---------------------------------------------------------------- browsers


async def test_a_browser_logs_in_and_out(dashboard: OpenDashboard) -> None:
    """A page leads to the login and back; the cookie is no longer worth anything afterwards."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        asked = await client.get("/?a=1", headers={"Accept": "text/html"})
        assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2F%3Fa%3D1")
        login = await client.get("/login")
        assert login.status_code == 200
        answer = await client.post("/login", data={"token": OPERATE, "next": "/v1/overview"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/v1/overview")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "secure" not in cookie
        csrf, kept = await log_in(client, OPERATE), dict(client.cookies)
        assert (await client.get("/v1/overview")).status_code == 200
        assert (await client.post("/logout", data={"csrf_token": csrf})).status_code == 303
        assert (await client.get("/v1/overview")).status_code == 401
        client.cookies.update(kept)
        assert (await client.get("/v1/overview")).status_code == 401, "a copy of the cookie is worth nothing either"


async def test_what_a_cookie_does_needs_the_csrf_token(dashboard: OpenDashboard) -> None:
    """In a header or in a form; and no page of another site may send it. A bearer needs none."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        csrf = await log_in(client, OPERATE)
        for headers in (
            {},
            {"X-CSRF-Token": "0" * 64},
            {"X-CSRF-Token": csrf, "Origin": "https://elsewhere.example"},
            {"X-CSRF-Token": csrf, "Origin": "null"},
            {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"},
        ):
            answer = await client.post("/v1/resume", json={}, headers=headers)
            assert answer.status_code == 403, headers
        good = {"X-CSRF-Token": csrf, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
        assert (await client.post("/v1/resume", json={}, headers=good)).status_code == 200
        client.cookies.clear()
        assert (await client.post("/v1/resume", json={}, headers=bearer(OPERATE))).status_code == 200


async def test_a_person_s_jobs_are_in_the_audit_trail(dashboard: OpenDashboard) -> None:
    """Those of a program are not: they would push everything else out."""
    order = {"visitor_id": "v", "text": "x", "agent_id": "a"}
    async with dashboard(dashboard_tokens=TOKENS) as client:
        program = await client.post("/v1/messages/create", json=order | {"local_id": "1"}, headers=bearer(OPERATE))
        assert program.status_code == 200
        csrf = {"X-CSRF-Token": await log_in(client, OPERATE)}
        assert (await client.post("/v1/messages/create", json=order | {"local_id": "2"}, headers=csrf)).is_success
        entries = (await client.get("/v1/audit")).json()["entries"]
        assert [(one["action"], one["local_id"], one["by"]) for one in entries] == [("create", "2", "anna")]
        events = (await client.get("/v1/message/timeline", params={"local_id": "1"})).json()["events"]
        assert events[0]["detail"] == "create revision=1 by anna"


async def test_by_https_the_cookie_is_secure(dashboard: OpenDashboard) -> None:
    """As the address says under which browsers reach it."""
    async with dashboard(dashboard_tokens=TOKENS, dashboard_url="https://messages.example.org") as client:
        answer = await client.post("/login", data={"token": READ})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-pushledger=")
        assert "secure" in cookie.lower()
        foreign = await client.post("/login", data={"token": READ}, headers={"Origin": "https://elsewhere.example"})
        assert foreign.status_code == 403
        own = await client.post("/login", data={"token": READ}, headers={"Origin": "https://messages.example.org"})
        assert own.status_code == 303


@pytest.mark.parametrize(
    "asked", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:x", "\n/x"]
)
async def test_the_login_leads_nowhere_else(dashboard: OpenDashboard, asked: str) -> None:
    """Only to a path of this site."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        answer = await client.post("/login", data={"token": READ, "next": asked})
        assert answer.headers["location"] == "/"


async def test_wrong_tokens_are_limited(dashboard: OpenDashboard) -> None:
    """From one address; then nobody logs in from there, and programs that have the right one go on."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        for _ in range(FROM_ONE):
            answer = await client.post("/login", data={"token": "wrong"})
            assert answer.status_code == 401
            assert "is not known" in answer.text
        answer = await client.post("/login", data={"token": OPERATE})
        assert (answer.status_code, 0 < int(answer.headers["retry-after"]) <= 60) == (429, True)
        assert (await client.get("/v1/overview", headers=bearer("wrong"))).status_code == 429
        assert (await client.get("/v1/overview", headers=bearer(OPERATE))).status_code == 200


def test_all_addresses_together_are_limited_for_a_minute() -> None:
    """And each by itself sooner."""
    now = 0.0
    attempts = Attempts(lambda: now)
    for number in range(FROM_ALL):
        assert attempts.wait_for("new") == 0
        attempts.failed(f"address-{number}")
    assert attempts.wait_for("new") == 60
    now = 61.0
    assert attempts.wait_for("new") == 0


def test_a_session_ends_with_its_time_its_token_and_its_key() -> None:
    """And nobody can make one."""
    (token,), (other,) = parse_tokens(f"anna:operate:{OPERATE}"), parse_tokens(f"anna:operate:{READ}")
    hour, key = timedelta(hours=1), "k" * 32
    cookie = Sessions([token], key, hour).begin(token)
    found = Sessions([token], key, hour).known(cookie)
    assert found is not None
    assert found.token == token
    assert Sessions([other], key, hour).known(cookie) is None, "the token was changed"
    assert Sessions([], key, hour).known(cookie) is None, "the token was taken away"
    assert Sessions([token], "x" * 32, hour).known(cookie) is None
    assert Sessions([token], None, hour).known(cookie) is None
    assert Sessions([token], key, timedelta(seconds=-1)).known(cookie) is None
    for broken in ("", "x", cookie[:-1], f"x{cookie}"):
        assert Sessions([token], key, hour).known(broken) is None


# ---------------------------------------------------------------- answers


async def test_every_answer_binds_the_browser(dashboard: OpenDashboard) -> None:
    """No inline script, no frame, no sniffing, nothing kept; pages too, and errors."""
    async with dashboard(dashboard_tokens=TOKENS) as client:
        for path in ("/login", "/v1/overview", "/nowhere", "/healthz", "/static/style.css"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'self';")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"


async def test_pages_have_no_inline_script_and_escape_everything(dashboard: OpenDashboard) -> None:
    """What others wrote is text."""
    async with dashboard() as client:
        await client.post("/v1/pause", json={"reason": "<script>alert(1)</script>"})
        page = (await client.get("/")).text
        assert "&lt;script&gt;alert(1)" in page
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", page)
        login = (await client.get("/login", params={"next": '/"><script>x'})).text
        assert "<script>x" not in login


# ---------------------------------------------------------------- without tokens


async def test_without_tokens_only_this_machine_is_answered(dashboard: OpenDashboard) -> None:
    """A name that somebody else points to the loopback address is refused; so is a page of another site."""
    async with dashboard() as client:
        for host in ("localhost", "127.0.0.1:8026", "[::1]:8026", "LOCALHOST:1"):
            assert (await client.get("/v1/overview", headers={"Host": host})).status_code == 200, host
        for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:8026"):
            assert (await client.get("/v1/overview", headers={"Host": host})).status_code == 403, host
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://[x"}):
            assert (await client.post("/v1/resume", json={}, headers=headers)).status_code == 403
        assert (await client.post("/v1/resume", json={})).status_code == 200
        assert (await client.get("/v1/audit")).json()["entries"][0]["by"] == "local"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"dashboard_host": "0.0.0.0"}, "DASHBOARD_TOKENS"),
        ({"dashboard_host": "::"}, "DASHBOARD_TOKENS"),
        ({"dashboard_host": ""}, "DASHBOARD_TOKENS"),
        ({"dashboard_host": "shop.example.org"}, "DASHBOARD_TOKENS"),
        ({"dashboard_url": "https://messages.example.org"}, "DASHBOARD_TOKENS"),
        ({"dashboard_tokens": "anna:operate:short"}, "DASHBOARD_TOKENS"),
        ({"dashboard_tokens": f"anna:admin:{OPERATE}"}, "DASHBOARD_TOKENS"),
        ({"dashboard_tokens": f"anna:read:{OPERATE},anna:read:{READ}"}, "DASHBOARD_TOKENS"),
        ({"dashboard_tokens": f"anna:read:{OPERATE},eve:read:{OPERATE}"}, "DASHBOARD_TOKENS"),
        ({"dashboard_tokens_file": Path("nowhere")}, "DASHBOARD_TOKENS_FILE"),
        ({"dashboard_url": "messages.example.org"}, "DASHBOARD_URL"),
        ({"dashboard_session_key": "short"}, "DASHBOARD_SESSION_KEY"),
    ],
)
def test_settings_that_would_expose_it_are_refused(values: dict[str, Any], named: str) -> None:
    """With the variable's name, and without the secret."""
    with pytest.raises(SettingsError, match=named) as refused:
        DashboardSettings(**values)
    assert OPERATE not in str(refused.value)
    assert "short" not in str(refused.value)


def test_tokens_may_stand_in_a_file(tmp_path: Path) -> None:
    """One a line, with comments; an empty one is refused, as it would open everything."""
    file = tmp_path / "tokens"
    file.write_text(f"# who may\neve:read:{READ}\n\nanna:operate:{OPERATE}\n")
    found = DashboardSettings(dashboard_tokens_file=file, dashboard_host="0.0.0.0").tokens
    assert [(token.name, token.role) for token in found] == [("eve", "read"), ("anna", "operate")]
    assert OPERATE not in repr(found)
    file.write_text("# nobody\n")
    with pytest.raises(SettingsError, match="must hold a token"):
        DashboardSettings(dashboard_tokens_file=file)

"""Several accounts on one dashboard: the address says which, a token may be good for some, figures carry the name."""

from __future__ import annotations

import httpx
import pytest
import redis
from account import Account
from dashboard.browser import Page
from dashboard.conftest import OPERATE, OpenDashboard
from pushledger import Messages, Settings
from pushledger_dashboard.settings import DashboardSettings
from pushledger_dashboard.tokens import parse_tokens

pytestmark = pytest.mark.anyio
LIMITED = "a-token-that-is-for-one-account"


@pytest.fixture
def fr(account: str, valkey_url: str, real_client: redis.Redis) -> Account:
    """A second account, with a message of its own."""
    name = f"{account}-fr"
    with Messages(Settings(redis_url=valkey_url, broker_url="memory://", account=name)) as messages:
        messages.create("commande:1", visitor_id="v", text="Commande reçue", agent_id="a")
    return Account(real_client, name)


async def test_the_address_says_which_account(api: httpx.AsyncClient, fr: Account, account: str) -> None:
    name = fr.keys.account
    assert (await api.get("/v1/overview")).json()["account"] == account
    overview = (await api.get(f"/accounts/{name}/v1/overview")).json()
    assert (overview["account"], overview["waiting"]) == (name, 1)
    body = {"local_id": "commande:1", "text": "Expédiée"}
    answer = await api.post(f"/accounts/{name}/v1/messages/update", json=body)
    assert answer.json()["outcome"] == "folded"
    assert (await api.post("/v1/messages/update", json=body)).status_code == 404, "it is no message of this account"


async def test_a_name_that_the_ledger_does_not_know_is_not_found(api: httpx.AsyncClient, account: str) -> None:
    """A typing error in an address must not show an empty account that looks well."""
    answer = await api.get(f"/accounts/{account}-frr/v1/overview")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(f"account: {account}-frr never had a job")
    assert (await api.get("/accounts/f%20r/v1/overview")).status_code == 404


async def test_the_accounts_are_listed_and_one_without_a_worker_stands_out(
    api: httpx.AsyncClient, fr: Account, account: str
) -> None:
    found = {one["account"]: one for one in (await api.get("/v1/accounts")).json()["accounts"]}
    assert {account, fr.keys.account} <= set(found)
    one = found[fr.keys.account]
    assert (one["waiting"], one["looked_after"], one["address"]) == (1, False, f"/accounts/{fr.keys.account}/")
    page = Page(await api.get("/accounts"))
    assert f"/accounts/{fr.keys.account}/" in page.links
    assert f"{fr.keys.account} 1 0 0 No worker serves this account" in page.text


async def test_every_link_and_form_of_a_page_stays_with_its_account(api: httpx.AsyncClient, fr: Account) -> None:
    prefix = f"/accounts/{fr.keys.account}"
    for path in ("/", "/messages?state=queued", "/messages/show?id=commande:1", "/bulk", "/account", "/audit"):
        answer = await api.get(prefix + path)
        page = Page(answer)
        assert answer.status_code == 200, path
        assert page.links
        for link in [*page.links, *(form.action for form in page.forms)]:
            assert link.startswith((prefix, "/accounts", "#", "?")) or not link.startswith("/"), f"{path}: {link}"
        assert fr.keys.account in page.text
        assert not [tag for tag, values in page.tags if "/accounts" in values.get("src", "")], "statics are shared"


async def test_what_a_page_does_is_done_to_its_account_and_leads_back_to_it(
    dashboard: OpenDashboard, fr: Account, account: str, real_client: redis.Redis
) -> None:
    prefix = f"/accounts/{fr.keys.account}"
    async with dashboard() as client:
        answer = await client.post(
            f"{prefix}/account/pause", data={"minutes": "5", "reason": "sale"}, headers={"origin": "http://localhost"}
        )
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith(f"{prefix}/account?done=paused")
    assert real_client.hget(fr.keys.pause, "reason")
    assert not real_client.exists(Account(real_client, account).keys.pause)


async def test_a_log_in_leads_back_to_the_account(dashboard: OpenDashboard, fr: Account) -> None:
    prefix = f"/accounts/{fr.keys.account}"
    async with dashboard(dashboard_tokens=f"anna:operate:{OPERATE}") as client:
        asked = await client.get(f"{prefix}/messages?state=queued", headers={"accept": "text/html"})
        assert asked.headers["location"].startswith(f"{prefix}/login?next=")
        form = Page(await client.get(asked.headers["location"])).forms[-1]
        done = await client.post(
            form.action, data={**form.fields, "token": OPERATE}, headers={"origin": "http://localhost"}
        )
        assert done.headers["location"] == f"{prefix}/messages?state=queued"


async def test_a_token_may_be_good_for_some_accounts(dashboard: OpenDashboard, fr: Account, account: str) -> None:
    name = fr.keys.account
    async with dashboard(dashboard_tokens=f"eve:operate@{name}:{LIMITED},anna:operate:{OPERATE}") as client:
        client.headers["Authorization"] = f"Bearer {LIMITED}"
        assert (await client.get(f"/accounts/{name}/v1/overview")).status_code == 200
        for path in ("/v1/overview", "/messages", f"/accounts/{account}/v1/overview", "/v1/events"):
            refused = await client.get(path)
            assert refused.status_code == 403, path
        assert "eve is not good for the account" in (await client.get("/v1/overview")).json()["detail"]
        body = {"local_id": "m", "visitor_id": "v", "text": "t", "agent_id": "a"}
        assert (await client.post("/v1/messages/create", json=body)).status_code == 403
        assert [one["account"] for one in (await client.get("/v1/accounts")).json()["accounts"]] == [name]
        figures = (await client.get("/metrics")).text
        assert f'account="{name}"' in figures
        assert f'account="{account}"' not in figures


async def test_figures_carry_the_account_and_each_is_described_once(
    api: httpx.AsyncClient, fr: Account, account: str
) -> None:
    figures = (await api.get("/metrics")).text
    for name in (account, fr.keys.account):
        assert f'pushledger_looked_after{{account="{name}"}} 0.0' in figures
    assert f'pushledger_waiting{{account="{fr.keys.account}"}} 1.0' in figures
    assert figures.count("# TYPE pushledger_waiting gauge") == 1
    alone = (await api.get(f"/accounts/{fr.keys.account}/metrics")).text
    assert f'account="{account}"' not in alone
    assert f'account="{fr.keys.account}"' in alone


@pytest.mark.parametrize("role", ["read@", "read@f r", "read@fr+", "read@.."])
def test_a_limit_that_names_no_account_is_refused(role: str) -> None:
    """It would be good for none, or for all."""
    with pytest.raises(ValueError, match=r"must name accounts as read@fr\+de does"):
        parse_tokens(f"eve:{role}:{LIMITED}")


def test_a_limit_is_read() -> None:
    (token,) = parse_tokens(f"eve:read@fr+de:{LIMITED}")
    assert [name for name in ("fr", "de", "it") if token.may_see(name)] == ["fr", "de"]
    (token,) = DashboardSettings(dashboard_tokens=f"eve:read:{LIMITED}", broker_url="memory://").tokens
    assert token.may_see("it")

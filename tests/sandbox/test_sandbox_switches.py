"""The switches: each turns one thing that the documentation leaves open, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import httpx
import pytest
from brevo_sandbox import BadInputError, Bucket, HtmlText, LimitBody, Rate, Rules, Sandbox, WindowType
from brevo_sandbox.rules import parse_rule
from brevo_sandbox.testing import ManualClock
from brevo_sandbox.wire import Json

pytestmark = pytest.mark.anyio

CHAT = "/v3/conversations/messages"
PUSHED = "/v3/conversations/pushedMessages"
ORDER = {"text": "Order received", "visitorId": "visitor-1", "agentId": "agent-1"}

Connect = Callable[[Sandbox], httpx.AsyncClient]


@pytest.mark.parametrize("path", [PUSHED, CHAT])
async def test_an_unknown_visitor_is_accepted_or_refused(connect: Connect, path: str) -> None:
    """With the switch on, a visitor becomes known by writing."""
    async with connect(Sandbox()) as api:
        assert (await api.post(path, json=ORDER)).status_code == 200
    sandbox = Sandbox(rules=Rules(require_known_visitor=True))
    async with connect(sandbox) as api:
        refused = await api.post(path, json=ORDER)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
        assert list(sandbox.store.messages()) == []
        sandbox.say("visitor-1", "Hello")
        assert (await api.post(path, json=ORDER)).status_code == 200
        assert (await api.post(path, json=ORDER | {"visitorId": "visitor-2"})).status_code == 400


async def test_blank_text_is_refused_or_accepted(connect: Connect) -> None:
    """For creates and edits; a text that is missing or no string stays wrong."""
    async with connect(Sandbox()) as api:
        assert (await api.post(PUSHED, json=ORDER | {"text": " \n"})).status_code == 400
    async with connect(Sandbox(rules=Rules(accept_blank_text=True))) as api:
        made = await api.post(PUSHED, json=ORDER | {"text": ""})
        assert (made.status_code, made.json()["text"]) == (200, "")
        assert (await api.put(f"{PUSHED}/{made.json()['id']}", json={"text": " "})).json()["text"] == " "
        for text in (None, 7):
            assert (await api.post(PUSHED, json=ORDER | {"text": text})).status_code == 400


async def test_a_long_text_is_accepted_or_refused(connect: Connect) -> None:
    """The limit counts characters and is itself allowed."""
    async with connect(Sandbox()) as api:
        assert (await api.post(PUSHED, json=ORDER | {"text": "ä" * 200_000})).status_code == 200
    async with connect(Sandbox(rules=Rules(longest_text=5))) as api:
        made = await api.post(PUSHED, json=ORDER | {"text": "äöüß!"})
        assert made.status_code == 200
        refused = await api.put(f"{PUSHED}/{made.json()['id']}", json={"text": "äöüß!!"})
        assert (refused.status_code, refused.json()["code"]) == (400, "out_of_range")


async def test_markup_in_a_text_is_escaped_or_interpreted(connect: Connect) -> None:
    """`text` is the same either way."""
    found = []
    for choice in HtmlText:
        async with connect(Sandbox(rules=Rules(html_text=choice))) as api:
            made = (await api.post(PUSHED, json=ORDER | {"text": "<b>now</b>"})).json()
        found.append((made["text"], made["html"]))
    assert found == [("<b>now</b>", "&lt;b&gt;now&lt;/b&gt;"), ("<b>now</b>", "<b>now</b>")]


@pytest.mark.parametrize(("made_at", "asked_at"), [(PUSHED, CHAT), (CHAT, PUSHED)])
async def test_an_id_of_the_other_family_is_unknown_or_found(connect: Connect, made_at: str, asked_at: str) -> None:
    """By default it is 404 for every operation, and the message stays as it is."""
    for across in (False, True):
        sandbox = Sandbox(rules=Rules(ids_across_families=across))
        async with connect(sandbox) as api:
            one = f"{asked_at}/{(await api.post(made_at, json=ORDER)).json()['id']}"
            answers = [await api.get(one), await api.put(one, json={"text": "Shipped"}), await api.delete(one)]
        statuses = [answer.status_code for answer in answers]
        left = [message.text for message in sandbox.store.chat("visitor-1")]
        assert (statuses, left) == (([200, 200, 204], []) if across else ([404, 404, 404], ["Order received"]))


async def test_false_flags_are_sent_or_left_out(connect: Connect) -> None:
    """A true one is always sent."""
    flags = {"isPushed", "isTrigger", "isMissed", "isMissedByVisitor", "isBot"}
    for sent in (True, False):
        async with connect(Sandbox(rules=Rules(false_flags=sent))) as api:
            pushed, chat = [(await api.post(path, json=ORDER)).json() for path in (PUSHED, CHAT)]
        assert flags & pushed.keys() == (flags if sent else {"isPushed"})
        assert pushed["isPushed"] is True
        assert flags & chat.keys() == (flags if sent else set())


@pytest.mark.parametrize(
    ("choice", "media_type", "start"),
    [
        (LimitBody.CODE, "application/json", '{"code":"too_many_requests",'),
        (LimitBody.EMPTY_OBJECT, "application/json", "{}"),
        (LimitBody.HTML, "text/html; charset=utf-8", "<html>"),
    ],
)
async def test_what_a_429_says(connect: Connect, choice: LimitBody, media_type: str, start: str) -> None:
    """Whether it comes from the limit or from a fault; the headers stay."""
    async with connect(Sandbox(rate=Rate(2, 10), rules=Rules(limit_body=choice))) as api:
        await api.post("/sandbox/faults", json={"kind": "rate_limited", "reset": 7})
        by_fault = await api.post(PUSHED, json=ORDER)
        await api.post(PUSHED, json=ORDER)
        by_limit = await api.post(PUSHED, json=ORDER)
    for answer in (by_fault, by_limit):
        assert answer.status_code == 429
        assert answer.headers["content-type"] == media_type
        assert answer.text.startswith(start)
        assert answer.headers["x-sib-ratelimit-remaining"] == "0"
    assert by_fault.headers["x-sib-ratelimit-reset"] == "7"


@pytest.mark.parametrize(
    ("bucket", "shared"),
    [
        (Bucket.ACCOUNT, {"other key", "other family", "other route", "other id"}),
        (Bucket.KEY, {"other family", "other route", "other id"}),
        (Bucket.FAMILY, {"other key", "other route", "other id"}),
        (Bucket.ROUTE, {"other key", "other id"}),
    ],
)
async def test_which_calls_share_a_bucket(connect: Connect, bucket: Bucket, shared: set[str]) -> None:
    """One call of the only one allowed; those that share its bucket are refused after it."""
    async with connect(Sandbox(rate=Rate(1, 10), rules=Rules(bucket=bucket))) as api:

        async def first_then(method: str, path: str, key: str = "key-1") -> int:
            await api.put("/sandbox/rate", json={"rate": "1/10s"})
            first = await api.get(f"{PUSHED}/none", headers={"api-key": "key-1"})
            assert (first.status_code, first.headers["x-sib-ratelimit-remaining"]) == (404, "0")
            return (await api.request(method, path, headers={"api-key": key})).status_code

        statuses = {
            "other key": await first_then("GET", f"{PUSHED}/none", key="key-2"),
            "other family": await first_then("GET", f"{CHAT}/none"),
            "other route": await first_then("DELETE", f"{PUSHED}/none"),
            "other id": await first_then("GET", f"{PUSHED}/another"),
        }
    assert {name for name, status in statuses.items() if status == 429} == shared
    assert set(statuses.values()) <= {404, 429}


async def test_the_headers_tell_of_the_callers_own_bucket(connect: Connect) -> None:
    """Another key's calls do not show; the control API tells where it is tightest."""
    async with connect(Sandbox(rate=Rate(5, 10), rules=Rules(bucket=Bucket.KEY))) as api:
        left = []
        for key in ("key-1", "key-1", "key-2", "key-1"):
            answer = await api.get(f"{PUSHED}/none", headers={"api-key": key})
            left.append(answer.headers["x-sib-ratelimit-remaining"])
        assert left == ["4", "3", "4", "2"]
        assert (await api.get("/sandbox/rate")).json()["remaining"] == 2


async def test_a_sliding_window_forgets_call_by_call(connect: Connect, clock: ManualClock) -> None:
    """The reset says when the oldest call is forgotten; a fixed window would have forgotten both at 10 s."""
    statuses, resets = [], []
    async with connect(Sandbox(rate=Rate(2, 10), rules=Rules(window=WindowType.SLIDING), clock=clock)) as api:
        for pause in (0, 4, 5, 1, 0.5, 3.5):
            clock.pass_by(pause)
            answer = await api.get(f"{PUSHED}/none")
            statuses.append(answer.status_code)
            resets.append(answer.headers["x-sib-ratelimit-reset"])
    assert statuses == [404, 404, 429, 404, 429, 404]
    assert resets == ["10", "6", "1", "4", "4", "6"]


async def test_a_sliding_window_may_count_refused_calls(connect: Connect, clock: ManualClock) -> None:
    """Who goes on hammering stays shut out; who waits a whole window is let in."""
    rules = Rules(window=WindowType.SLIDING, count_refused=True)
    async with connect(Sandbox(rate=Rate(1, 10), rules=rules, clock=clock)) as api:
        statuses = []
        for pause in (0, 6, 6, 10):
            clock.pass_by(pause)
            statuses.append((await api.get(f"{PUSHED}/none")).status_code)
    assert statuses == [404, 429, 429, 404]


async def test_turning_another_switch_leaves_the_running_window_alone(api: httpx.AsyncClient) -> None:
    """Only another bucket or another type of window begins anew."""
    await api.put("/sandbox/rate", json={"rate": "5/10s"})
    await api.get(f"{PUSHED}/none")
    left = []
    for change in ({"count_refused": True}, {"false_flags": False}, {"bucket": "account"}, {"bucket": "key"}):
        await api.put("/sandbox/rules", json=change)
        left.append((await api.get("/sandbox/rate")).json()["remaining"])
    assert left == [4, 4, 4, 5]


async def test_the_very_same_request_may_come_too_soon(connect: Connect, clock: ManualClock) -> None:
    """Another text, another key or enough time makes it another request; off by default."""
    async with connect(Sandbox()) as api:
        assert {(await api.post(PUSHED, json=ORDER)).status_code for _ in range(3)} == {200}
    sandbox = Sandbox(rules=Rules(duplicate_seconds=2), clock=clock)
    async with connect(sandbox) as api:
        first = await api.post(PUSHED, json=ORDER)
        clock.pass_by(1.5)
        again = await api.post(PUSHED, json=ORDER)
        assert (first.status_code, again.status_code, again.json()["code"]) == (200, 400, "duplicate_request")
        assert (await api.post(PUSHED, json=ORDER | {"text": "Shipped"})).status_code == 200
        assert (await api.post(PUSHED, json=ORDER, headers={"api-key": "another"})).status_code == 200
        clock.pass_by(0.5)
        assert (await api.post(PUSHED, json=ORDER)).status_code == 200
    assert len(sandbox.store.chat("visitor-1")) == 4


@pytest.mark.parametrize("status", [404, 204])
async def test_a_second_delete_is_404_or_204(connect: Connect, status: int) -> None:
    """Only of what was there once; reading it stays 404."""
    sandbox = Sandbox(rules=Rules(second_delete_status=status))
    async with connect(sandbox) as api:
        one = f"{PUSHED}/{(await api.post(PUSHED, json=ORDER)).json()['id']}"
        assert [(await api.delete(one)).status_code for _ in range(2)] == [204, status]
        assert (await api.get(one)).status_code == 404
        assert (await api.delete(f"{PUSHED}/none")).status_code == 404
    assert sandbox.journal.stats()["effects"] == 2


async def test_every_call_may_be_unauthorized_from_now_on(api: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """As when an address is blocked: every operation is 401 until the fault is taken back."""
    await api.post("/sandbox/faults", json={"kind": "unauthorized", "times": None})
    for method in ("POST", "GET", "PUT", "DELETE"):
        for path in (PUSHED, f"{CHAT}/none", "/v3/conversations/agentOnlinePing"):
            answer = await api.request(method, path, json=ORDER)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert sandbox.journal.stats()["effects"] == 0
    await api.delete("/sandbox/faults")
    assert (await api.post(PUSHED, json=ORDER)).status_code == 200


async def test_an_error_after_the_effect_may_speak_html(api: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """A body that is a page is sent as one."""
    await api.post("/sandbox/faults", json={"kind": "error_after", "status": 504, "body": "<html>late</html>"})
    answer = await api.post(PUSHED, json=ORDER)
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html; charset=utf-8")
    assert len(sandbox.store.chat("visitor-1")) == 1


async def test_every_switch_can_be_turned_alone_and_is_shown(api: httpx.AsyncClient) -> None:
    """Over the control API and on the page; a reset turns all of them back."""
    other: dict[str, Json] = {
        "require_sender": False,
        "require_known_visitor": True,
        "accept_blank_text": True,
        "longest_text": 5000,
        "html_text": "interpret",
        "ids_across_families": True,
        "false_flags": False,
        "limit_body": "html",
        "rate_headers": False,
        "bucket": "route",
        "window": "sliding",
        "count_refused": True,
        "fragment_after_push": True,
        "duplicate_seconds": 2.5,
        "not_found_code": False,
        "second_delete_status": 204,
        "visitor_message_status": 404,
        "online_seconds": 120.0,
    }
    defaults = Rules().as_json()
    assert other.keys() == defaults.keys() == {field.name for field in fields(Rules)}
    for name, value in other.items():
        assert value != defaults[name], name
        assert (await api.put("/sandbox/rules", json={name: value})).json() == defaults | {name: value}
        page = (await api.get("/switches")).text
        assert page.count('class="turned"') == 1
        assert f"<code>{name}</code>" in page
        await api.post("/sandbox/reset")
    assert (await api.get("/sandbox/rules")).json() == defaults


@pytest.mark.parametrize(
    "change",
    [
        {"bucket": "planet"},
        {"bucket": None},
        {"window": True},
        {"longest_text": -1},
        {"longest_text": 1.5},
        {"longest_text": True},
        {"duplicate_seconds": "2"},
        {"second_delete_status": 200},
        {"visitor_message_status": 204},
        {"online_seconds": -1},
    ],
)
async def test_a_switch_takes_only_what_it_knows(api: httpx.AsyncClient, change: dict[str, Json]) -> None:
    """The answer names the switch, and nothing is turned."""
    answer = await api.put("/sandbox/rules", json=change)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(next(iter(change)))
    assert (await api.get("/sandbox/rules")).json() == Rules().as_json()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("bucket=key", ("bucket", "key")),
        ("false_flags=false", ("false_flags", False)),
        ("longest_text=5000", ("longest_text", 5000)),
        (" duplicate_seconds = 2.5 ", ("duplicate_seconds", 2.5)),
    ],
)
async def test_a_switch_is_written_as_name_and_value(written: str, read: tuple[str, Json]) -> None:
    """The type follows from what is written."""
    assert parse_rule(written) == read


async def test_what_is_no_switch_is_refused() -> None:
    """The error says what one looks like."""
    with pytest.raises(BadInputError, match="name=value"):
        parse_rule("bucket")

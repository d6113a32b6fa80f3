"""Lists read page by page, searches, and things done to many at once: nothing lost, nothing twice, nothing for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import redis
from account import START, Account, MakeAccount, create
from pushledger import AsyncMessages, Delete, Settings
from pushledger.ledger import Filter, Page, Place
from pushledger.ledger.keys import Keys
from pushledger.message import State

T = TypeVar("T")
Run = Callable[[Callable[[AsyncMessages], Awaitable[T]]], T]
SECOND = timedelta(seconds=1)


@pytest.fixture
def run(valkey_url: str, account: str) -> Run[Any]:
    """Runs something with the account's messages."""

    def with_messages(act: Callable[[AsyncMessages], Awaitable[T]]) -> T:
        async def main() -> T:
            settings = Settings(redis_url=valkey_url, account=account, broker_url="memory://")
            async with AsyncMessages(settings) as messages:
                return await act(messages)

        return asyncio.run(main())

    return with_messages


def fail(ledger: Account, *names: str) -> None:
    """Let each of these fail, all in the same millisecond."""
    for name in names:
        ledger.record(create(name))
    for claimed in ledger.claim(len(names)).messages:
        assert ledger.settle(claimed, "refused", status=400).state == "failed"


def page(
    ledger: Account,
    place: Place | None = None,
    state: State = "failed",
    limit: int = 2,
    most: int = 100,
    **options: Any,
) -> Page:
    order = options.pop("order", "newest")
    action = options.pop("action", None)
    return ledger.run(ledger.exchanges.page(state, order, limit, most, place, Filter(**options), action))


def walk(ledger: Account, **options: Any) -> list[str]:
    ids, place = list[str](), None
    for _ in range(100):
        found = page(ledger, place, **options)
        ids += found.ids
        place = found.place
        if place is None:
            return ids
    raise AssertionError("the pages never end")


def test_pages_run_from_the_newest_to_the_oldest_or_back(make: MakeAccount) -> None:
    """By when they came to the state, and by id among those of one moment."""
    ledger = make()
    fail(ledger, "b", "a", "é", "B", "aa")
    ledger.pass_time(SECOND)
    fail(ledger, "z")
    assert walk(ledger) == ["z", "é", "b", "aa", "a", "B"]
    assert walk(ledger, order="oldest", limit=4) == ["B", "a", "aa", "b", "é", "z"]
    assert [page(ledger).left, page(ledger, page(ledger).place).left] == [4, 2]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_what_leaves_between_two_pages_hides_nothing(make: MakeAccount, order: Any) -> None:
    """Not even when the very message at which the page before ended is gone, and all came at one moment."""
    ledger = make()
    names = [f"m{number}" for number in range(9)]
    fail(ledger, *names)
    seen, place = list[str](), None
    while True:
        found = page(ledger, place, order=order, limit=3)
        seen += found.ids
        place = found.place
        for local_id in (found.ids[-1], found.ids[0]):
            ledger.run(ledger.exchanges.decide("discard", local_id, ledger.fresh("d"), {}))
        if place is None:
            break
    assert sorted(seen) == names


def test_what_comes_between_two_pages_repeats_nothing(make: MakeAccount) -> None:
    """A message that fails meanwhile is newer than where the next page begins."""
    ledger = make()
    fail(ledger, "a", "b", "c")
    first = page(ledger)
    ledger.pass_time(SECOND)
    fail(ledger, "d")
    assert [*first.ids, *page(ledger, first.place).ids] == ["c", "b", "a"]


def test_a_page_is_filtered(make: MakeAccount) -> None:
    """By the id's beginning, the reason, and the time; the page says how far it looked."""
    ledger = make()
    fail(ledger, "order:1", "other:1")
    ledger.pass_time(SECOND)
    fail(ledger, "order:2")
    assert walk(ledger, prefix="order:") == ["order:2", "order:1"]
    assert walk(ledger, reason="refused", prefix="other") == ["other:1"]
    assert walk(ledger, reason="gone") == []
    begun = datetime.fromtimestamp(START / 1000, UTC)
    assert walk(ledger, since=begun + SECOND) == ["order:2"]
    assert walk(ledger, until=begun) == ["other:1", "order:1"]
    looked = page(ledger, most=1, reason="gone")
    assert (looked.ids, looked.looked_at, looked.left) == ((), 1, 2)


def test_each_state_has_its_list(make: MakeAccount) -> None:
    """Those that wait first and those in the air too."""
    ledger = make()
    ledger.record(create("air"))
    ledger.claim()
    ledger.record(create("waits"))
    assert walk(ledger, state="queued") == ["waits"]
    assert walk(ledger, state="sending") == ["air"]


def test_a_dry_run_counts_the_calls_and_changes_nothing(make: MakeAccount) -> None:
    """One for each message to be sent, none for what is only dropped, one more for each copy to be removed."""
    ledger = make(max_resends=0)
    fail(ledger, "a", "b")
    before = ledger.snapshot()
    assert (page(ledger, action="retry").calls, page(ledger, action="discard").calls) == (2, 0)
    assert ledger.snapshot() == before
    ledger.record(create("held"))
    claimed = ledger.claim_one()
    assert ledger.settle(claimed, "unknown").state == "held"
    assert page(ledger, state="held", action="resend").calls == 1
    assert page(ledger, state="held", action="retry").refused == 1
    ledger.deliver("m-1", "shown")
    ledger.record(Delete("shown"))
    assert page(ledger, state="queued", action="delete").refused == 0
    assert page(ledger, state="queued", action="delete").calls == 1, "it is to be removed anyway"
    ledger.record(create("shown", visitor="another"))
    assert page(ledger, state="queued", action="delete").calls == 1, "the earlier copy is removed, the new never sent"


def record_failed(url: str, account: str, number: int) -> None:
    client = redis.Redis.from_url(url, decode_responses=True, protocol=2)
    ledger = Account(client, account)
    for start in range(0, number, 50):
        fail(ledger, *(f"order:{i:04}" for i in range(start, min(number, start + 50))))
    client.close()


def test_many_are_retried_step_by_step(run: Run[Any], valkey_url: str, account: str, real_client: redis.Redis) -> None:
    """A dry run first; then each step says where to go on, and repeating one does no harm."""
    record_failed(valkey_url, account, 230)

    async def act(messages: AsyncMessages) -> None:
        dry = await messages.bulk("retry", "failed", dry_run=True)
        assert (dry.messages, dry.calls, dry.left, dry.place) == (230, 230, 0, None)
        first = await messages.bulk("retry", "failed", dry_run=False, limit=100, by="anna", why="fixed")
        assert (first.messages, first.left) == (100, 130)
        again = await messages.bulk("retry", "failed", dry_run=False, limit=100, by="anna", why="fixed")
        assert again.messages == 100, "the first step's messages have left the state"
        last = await messages.bulk("retry", "failed", dry_run=False, place=again.place, by="anna", why="fixed")
        assert (last.messages, last.place) == (30, None)
        assert (await messages.counts())["failed"] == 0
        trail = await messages.audit()
        assert [(e.action, e.messages, e.by, e.why) for e in trail] == [
            ("retry", 30, "anna", "fixed"),
            *[("retry", 100, "anna", "fixed")] * 2,
        ]
        assert (await messages.timeline("order:0001"))[-1].detail == "by hand: anna"

    run(act)


def test_many_are_deleted_at_once(run: Run[Any], valkey_url: str, account: str) -> None:
    """Those that wait cost no call; what cannot be deleted is counted as refused."""

    async def act(messages: AsyncMessages) -> None:
        for number in range(3):
            await messages.create(f"campaign:{number}", visitor_id="v", text="A", agent_id="a")
        await messages.create("order:1", visitor_id="v", text="A", agent_id="a")
        chosen = Filter(prefix="campaign:")
        step = await messages.bulk("delete", "queued", chosen, dry_run=False, by="anna")
        assert (step.messages, step.calls, step.looked_at) == (3, 0, 4)
        assert await messages.counts() | {"deleted": 3, "queued": 1} == await messages.counts()
        refused = await messages.bulk("resend", "queued", dry_run=False)
        assert (refused.messages, refused.refused) == (0, 1)

    run(act)


def test_a_search_finds_by_prefix_message_id_and_visitor(run: Run[Any], valkey_url: str, account: str) -> None:
    """Wherever the message stands; a visitor only as long as the record holds one."""
    client = redis.Redis.from_url(valkey_url, decode_responses=True, protocol=2)
    Account(client, account).deliver("id with blanks", "order:1")
    client.close()

    async def act(messages: AsyncMessages) -> None:
        await messages.create("order:2", visitor_id="v-2", text="A", agent_id="a")

        async def ids(by: Any, needle: str) -> list[str]:
            found, end = await messages.search(by, needle)
            assert end.place is None
            assert end.looked_at == end.of
            return sorted(message.local_id for message in found)

        assert await ids("prefix", "order:") == ["order:1", "order:2"]
        assert await ids("prefix", "order:2") == ["order:2"]
        assert await ids("message_id", "id with blanks") == ["order:1"]
        assert await ids("message_id", "blanks") == []
        assert await ids("visitor_id", "v-2") == ["order:2"]
        assert await ids("visitor_id", "visitor-1") == []

    run(act)


def test_a_long_search_goes_on_where_it_was(run: Run[Any], real_client: redis.Redis, account: str) -> None:
    """With no time at all, it still looks at some, and in the end at all."""
    entries = {f"order:{i}": f"1 pushed 1 - t d m{i}" for i in range(9000)}
    real_client.hset(Keys(account).map, mapping=entries)

    async def act(messages: AsyncMessages) -> None:
        seen, place, steps = set[str](), None, 0
        while True:
            found, step = await messages.search("prefix", "order:1", place=place, limit=10**6, within=timedelta(0))
            seen |= {message.local_id for message in found}
            place, steps = step.place, steps + 1
            if place is None:
                break
            assert step.looked_at <= step.of == 9000
        assert steps > 3
        assert seen == {local_id for local_id in entries if local_id.startswith("order:1")}

    run(act)

"""What shops test with: the shop's world in one process, and assertions that say why they fail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from brevo_sandbox import Kind
from pushledger_testing import Shop

pytest_plugins = ["pytester"]
PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
ORDER = {"visitor_id": "v-77", "agent_id": "a1"}


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def snippets() -> dict[str, str]:
    """The files that the page shows, by the name in their first line."""
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return dict(blocks)


def test_the_examples_of_the_page_run_as_a_shops_tests(pytester: pytest.Pytester) -> None:
    for name, text in snippets().items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=4)


def test_without_being_named_nothing_is_loaded(pytester: pytest.Pytester) -> None:
    """It stands beside what the shop runs, and tests of others must not change for it."""
    pytester.makepyfile("import sys\ndef test_it(): assert 'pushledger_testing' not in sys.modules")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_failed_assertion_says_what_is_seen_and_why(pytester: pytest.Pytester) -> None:
    """As the page shows it: nobody should have to debug the ledger for it."""
    (pytester.path / "conftest.py").write_text(snippets()["conftest.py"], encoding="utf-8")
    pytester.makepyfile(
        """
        def test_shipping_is_told(pushledger_shop):
            messages = pushledger_shop.messages
            messages.create("order:1042", visitor_id="v-77", text="Order received", agent_id="a1")
            pushledger_shop.deliver()
            messages.update("order:1042", text="Shipped")
            pushledger_shop.assert_sees("v-77", "Shipped")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    said = [line.removeprefix("E").strip() for line in result.outlines if line.startswith("E ")]
    shown = PAGE.read_text(encoding="utf-8").partition("it says why:\n\n```text\n")[2].partition("\n```")[0]
    assert said == [line.strip() for line in shown.splitlines()]
    assert not any("stage.py" in line for line in result.outlines), "the frame shown is the test's own"


def test_what_waits_says_for_what_and_how_long(shop: Shop) -> None:
    shop.messages.create("order:1", text="Order received", **ORDER)
    shop.messages.pause(timedelta(minutes=10), "sale")
    assert shop.deliver() == 0
    with pytest.raises(AssertionError, match=r"order:1 \(revision 1\) is queued: paused for 0:10:00 more"):
        shop.assert_sees("v-77", "Order received")
    shop.advance(timedelta(minutes=10))
    assert shop.deliver() == 1
    shop.assert_sees("v-77", "Order received")


def test_a_visitor_who_should_see_nothing_and_one_whom_nobody_wrote_to(shop: Shop) -> None:
    shop.messages.create("order:1", text="Order received", **ORDER)
    shop.deliver()
    with pytest.raises(AssertionError, match=r"v-77 should see nothing\n +but sees   'Order received'"):
        shop.assert_sees_nothing("v-77")
    with pytest.raises(AssertionError, match="was the job enqueued, and for this visitor"):
        shop.assert_sees("v-78", "Order received")
    shop.messages.delete("order:1")
    shop.deliver()
    shop.assert_sees_nothing("v-77")


def test_a_state_that_is_another_comes_with_what_happened(shop: Shop) -> None:
    with pytest.raises(AssertionError, match="order:1 should be delivered, but the ledger never heard of it"):
        shop.assert_state("order:1", "delivered")
    shop.fail_next(Kind.REFUSED)
    shop.messages.create("order:1", text="Order received", **ORDER)
    shop.deliver()
    shop.assert_state("order:1", "failed")
    with pytest.raises(
        AssertionError, match=r"order:1 should be delivered, but is failed \(.*\n  \d\d:\d\d:\d\d accepted"
    ):
        shop.assert_state("order:1", "delivered")


def test_a_lost_answer_is_held_where_nothing_may_be_doubled() -> None:
    shop = Shop(max_resends=0)
    shop.lose_next_answer()
    shop.messages.create("order:1", text="Order received", **ORDER)
    shop.deliver()
    shop.advance(timedelta(minutes=5))
    shop.deliver()
    shop.assert_state("order:1", "held")
    shop.assert_sees("v-77", "Order received")
    assert shop.calls == 1
    shop.close()


def test_an_api_that_is_away_costs_no_create_its_re_send(shop: Shop) -> None:
    """No connection was had, so nothing can have been shown: it is not sent twice."""
    shop.cut_off()
    shop.messages.create("order:1", text="Order received", **ORDER)
    shop.deliver()
    assert shop.calls == 0
    shop.reconnect()
    shop.advance(timedelta(hours=1))
    shop.deliver()
    shop.assert_sees("v-77", "Order received")
    creates = [entry for entry in shop.sandbox.journal.since(0) if entry.request.method == "POST"]
    assert len(creates) == 1, "and the pause was probed with something else"


def test_changes_fold_and_time_stands_still_until_it_is_told(shop: Shop) -> None:
    later = shop.now + timedelta(hours=2)
    shop.messages.create("order:1", text="Order received", not_before=later, **ORDER)
    shop.messages.update("order:1", text="Shipped", not_before=later)
    assert shop.deliver() == 0
    shop.advance(timedelta(hours=2))
    assert shop.deliver() == 1
    shop.assert_sees("v-77", "Shipped")
    with pytest.raises(ValueError, match="duration: time goes on"):
        shop.advance(timedelta(seconds=-1))


def test_a_shop_that_awaits_has_the_same_ledger(shop: Shop) -> None:
    async def scene() -> None:
        async with shop.async_messages() as messages:
            await messages.create("order:1", text="Order received", **ORDER)
        shop.deliver()  # from within a running loop

    asyncio.run(scene())
    shop.assert_sees("v-77", "Order received")


def test_two_shops_know_nothing_of_each_other(shop: Shop) -> None:
    other = Shop()
    shop.messages.create("order:1", text="Order received", **ORDER)
    assert other.messages.get("order:1") is None
    assert other.deliver() == 0
    other.close()

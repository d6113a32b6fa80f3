"""One task's work: which accounts' shifts begin, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest
from pushledger_worker import round as round_module
from pushledger_worker.round import Round

SHIFT = timedelta(seconds=0.2)


class Fleet:
    """Accounts that are due, and what became of them."""

    def __init__(self, *due: str) -> None:
        self.is_due = set(due)
        self.began: list[tuple[str, timedelta]] = []
        self.asked: list[set[str]] = []
        self.release = asyncio.Event()
        self.hanging = {"hangs"}
        self.is_stopping = False
        self.again = False
        self.news = asyncio.Event()

    async def has_begun(self, number: int) -> None:
        while len(self.began) < number:
            self.news.clear()
            await self.news.wait()

    async def work(self, account: str, shift: timedelta) -> None:
        self.began.append((account, shift))
        self.news.set()
        if account in self.hanging:
            await self.release.wait()
        elif account == "breaks":
            raise ValueError("broken")
        if not self.again:
            self.is_due.discard(account)

    async def due(self, at_work: Collection[str]) -> Collection[str]:
        self.asked.append(set(at_work))
        return sorted(self.is_due - set(at_work))

    async def run(self, account: str, ending: timedelta = timedelta(seconds=5)) -> None:
        stopping = lambda: self.is_stopping  # noqa: E731
        await Round(work=self.work, due=self.due, stopping=stopping, shift=SHIFT, ending=ending).run(account)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_module, "LOOK_AROUND", 0.01)


def names(fleet: Fleet) -> list[str]:
    return [name for name, _ in fleet.began]


def test_one_account_with_nothing_left_is_one_shift() -> None:
    async def scene() -> None:
        fleet = Fleet()
        await fleet.run("fr")
        assert fleet.began == [("fr", SHIFT)]
        assert fleet.asked == [], "nobody is asked once there is nothing to wait for"

    asyncio.run(scene())


def test_while_one_account_hangs_others_begin_each_once_at_a_time() -> None:
    async def scene() -> None:
        fleet = Fleet("de", "fr")
        running = asyncio.create_task(fleet.run("hangs"))
        await fleet.has_begun(3)
        fleet.is_due = {"de"}
        await fleet.has_begun(4)
        fleet.release.set()
        await running
        assert names(fleet) == ["hangs", "de", "fr", "de"]
        assert all("hangs" in asked for asked in fleet.asked), "the one at work is not asked about"

    asyncio.run(asyncio.wait_for(scene(), 5))


def test_after_its_time_it_begins_nothing_more_however_much_is_due() -> None:
    """Else a process would never be free for the intake."""

    async def scene() -> None:
        fleet = Fleet("de")
        fleet.again = True
        running = asyncio.create_task(fleet.run("hangs", ending=timedelta(seconds=0.1)))
        await asyncio.sleep(0.4)
        seen = len(fleet.began)
        await asyncio.sleep(0.1)
        assert len(fleet.began) == seen > 1
        fleet.release.set()
        await running

    asyncio.run(scene())


def test_a_worker_that_stops_begins_no_other_account() -> None:
    async def scene() -> None:
        fleet = Fleet("de")
        fleet.is_stopping = True
        running = asyncio.create_task(fleet.run("hangs"))
        await asyncio.sleep(0.05)
        fleet.release.set()
        await running
        assert names(fleet) == ["hangs"]

    asyncio.run(scene())


def test_one_account_that_breaks_keeps_no_other_waiting_and_is_not_tried_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        fleet = Fleet("breaks", "de")
        running = asyncio.create_task(fleet.run("hangs"))
        await fleet.has_begun(3)
        fleet.is_due.add("fr")
        await fleet.has_begun(4)
        assert names(fleet) == ["hangs", "breaks", "de", "fr"]
        fleet.release.set()
        with pytest.raises(ValueError, match="broken"):
            await running

    asyncio.run(scene())
    assert "the shift of account breaks broke: ValueError" in caplog.text


def test_an_error_is_raised_when_all_shifts_have_ended() -> None:
    async def scene() -> None:
        fleet = Fleet("breaks", "de")
        running = asyncio.create_task(fleet.run("hangs"))
        await asyncio.sleep(0.05)
        assert not running.done(), "a call is still in the air"
        fleet.release.set()
        with pytest.raises(ValueError, match="broken"):
            await running

    asyncio.run(scene())

"""What every store of the outbox must do, whatever framework and database it is made for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pushledger import Delete, Job, Update, Upsert
from pushledger_outbox import Standing, Store

NOW = 1_800_000_000_000
LATER = NOW + 30_000
ALL = 1000


@dataclass
class OpenedStore:
    """A store of the account `default` over an empty table, and how jobs come into it."""

    store: Store
    insert: Callable[..., None]  # insert(*jobs, account=…), committed
    insert_and_roll_back: Callable[..., None]
    leave_thread: Callable[[], None] = lambda: None  # what a framework wants done at the end of each thread

    def locals_of(self, token: str, now: int = NOW, until: int = LATER, limit: int = ALL) -> list[str]:
        return [row.local_id for row in self.store.take(token, now, until, limit)]


def shown(number: int, text: str = "A", **options: object) -> Upsert:
    return Upsert(f"order:{number}", f"visitor-{number}", text, agent_id="agent", **options)  # type: ignore[arg-type]


def changes(*numbers: int) -> list[Job]:
    return [shown(number) for number in numbers]


class StoreContract:
    """Tests; a subclass says what `opened` is."""

    def test_of_each_message_only_the_oldest_row_is_taken(self, opened: OpenedStore) -> None:
        opened.insert(shown(1, "A"), shown(2), Update("order:1", "B"), shown(3), Delete("order:1"))
        first = opened.store.take("one", NOW, LATER, ALL)
        assert [(row.local_id, row.verb) for row in first] == [(f"order:{n}", "upsert") for n in (1, 2, 3)]
        assert opened.locals_of("two") == [], "while a row is taken, no later one of its message moves"
        opened.store.settle("one", [first[0].id], {}, NOW)
        (second,) = opened.store.take("two", NOW, LATER, ALL)
        assert second.to_job() == Update("order:1", "B", job_id=second.job_id)
        assert second.job_id

    def test_a_limit_takes_the_oldest(self, opened: OpenedStore) -> None:
        opened.insert(*changes(3, 1, 2))
        assert opened.locals_of("one", limit=2) == ["order:3", "order:1"]
        assert opened.locals_of("two", limit=2) == ["order:2"]

    def test_a_row_comes_back_with_all_of_its_job(self, opened: OpenedStore) -> None:
        job = shown(1, "Größe ✓ \x00\n'); --", version=2**53 - 1, priority="low", max_resends=0, job_id="mine")
        opened.insert(job)
        (row,) = opened.store.take("one", NOW, LATER, ALL)
        assert row.to_job() == job
        assert (row.revision, row.handed_at, row.error) == (None, None, "")
        assert "visitor-1" not in repr(row)

    def test_a_dead_relays_rows_are_free_when_its_lease_is_over(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1))
        assert opened.locals_of("dead") == ["order:1"]
        assert opened.locals_of("one", now=LATER - 1) == []
        assert opened.locals_of("two", now=LATER, until=LATER + 9) == ["order:1"]

    def test_what_another_relay_holds_is_not_handed_over(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1, 2))
        late = opened.store.take("late", NOW, LATER, ALL)
        (row,) = opened.store.take("new", LATER, LATER + 9, 1)
        assert opened.store.hand_over("late", {one.id: 7 for one in late}, NOW) == {late[1].id}
        assert opened.store.hand_over("new", {row.id: 3}, LATER) == {row.id}
        first, second = opened.store.take("next", LATER + 9, LATER + 10, ALL)
        assert (first.revision, first.handed_at, second.revision, second.handed_at) == (3, LATER, 7, NOW)

    def test_what_is_done_is_deleted_by_anyone_and_refused_only_by_its_holder(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1, 2))
        first, second = opened.store.take("late", NOW, LATER, ALL)
        opened.store.take("new", LATER, LATER + 9, ALL)
        opened.store.settle("late", [first.id], {second.id: "no"}, LATER)
        assert opened.store.standing().waiting == 1
        assert opened.store.refused(ALL) == []
        opened.store.settle("new", [], {second.id: "local_id: no"}, LATER)
        (refused,) = opened.store.refused(ALL)
        assert (refused.local_id, refused.error) == ("order:2", "local_id: no")

    def test_what_is_refused_blocks_nothing_and_may_be_retried_or_dropped(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1, 1, 2, 2))
        rows = opened.store.take("one", NOW, LATER, ALL)
        opened.store.hand_over("one", {row.id: 4 for row in rows}, NOW)
        opened.store.settle("one", [], {row.id: "no" for row in rows}, NOW)
        assert opened.locals_of("two", until=NOW) == ["order:1", "order:2"]
        first, second = opened.store.refused(ALL)
        assert opened.store.standing().refused == 2
        assert opened.store.retry([first.id, 10**9]) == 1
        (again,) = (row for row in opened.store.take("three", NOW, NOW, ALL) if row.id == first.id)
        assert (again.revision, again.handed_at, again.error) == (None, None, ""), "a person said it, so it goes"
        assert opened.store.drop([first.id]) == 0, "what waits is not dropped"
        assert opened.store.drop([second.id]) == 1
        assert opened.store.refused(ALL) == []

    def test_the_refused_are_pruned_by_the_time_of_their_refusal(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1, 2))
        first, second = opened.store.take("one", NOW, LATER, ALL)
        opened.store.settle("one", [], {first.id: "no"}, NOW)
        opened.store.settle("one", [], {second.id: "no"}, LATER)
        assert opened.store.prune(LATER) == 1
        assert [row.id for row in opened.store.refused(ALL)] == [second.id]

    def test_rows_that_are_given_back_wait_as_long_as_was_said(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1))
        opened.locals_of("one")
        opened.store.release("other", NOW)
        assert opened.locals_of("two") == []
        opened.store.release("one", NOW + 10)
        assert opened.locals_of("two", now=NOW + 9) == []
        assert opened.locals_of("two", now=NOW + 10) == ["order:1"]

    def test_accounts_do_not_see_each_other(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1), account="other")
        opened.insert(*changes(1))
        (row,) = opened.store.take("one", NOW, NOW, ALL)
        opened.store.settle("one", [row.id], {}, NOW)
        assert opened.locals_of("one") == []
        assert opened.store.standing() == Standing(0, None, 0)

    def test_what_is_rolled_back_was_never_there(self, opened: OpenedStore) -> None:
        opened.insert_and_roll_back(*changes(1, 2))
        assert opened.store.standing() == Standing(0, None, 0)
        opened.insert(*changes(3))
        standing = opened.store.standing()
        assert (standing.waiting, standing.refused) == (1, 0)
        assert standing.oldest_added_at is not None

    def test_an_id_is_never_given_twice(self, opened: OpenedStore) -> None:
        opened.insert(*changes(1))
        (first,) = opened.store.take("one", NOW, NOW, ALL)
        opened.store.settle("one", [first.id], {}, NOW)
        opened.insert(*changes(1))
        (second,) = opened.store.take("one", NOW, NOW, ALL)
        assert second.id > first.id

    @pytest.mark.parametrize("relays", [4])
    def test_no_row_is_taken_by_two(self, opened: OpenedStore, relays: int) -> None:
        opened.insert(*changes(*range(200)))
        begin, taken, failed = threading.Barrier(relays), list[str](), list[BaseException]()

        def take(token: str) -> None:
            begin.wait(10)
            try:
                while found := opened.locals_of(token, limit=7):
                    taken.extend(found)
            except BaseException as error:  # a thread's failure is the test's
                failed.append(error)
            finally:
                opened.leave_thread()

        threads = [threading.Thread(target=take, args=(f"relay-{number}",)) for number in range(relays)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failed == []
        # A relay may find nothing free for a moment, as others hold what it looked at; the rest is there yet.
        taken += opened.locals_of("last")
        assert sorted(taken) == sorted(f"order:{number}" for number in range(200))

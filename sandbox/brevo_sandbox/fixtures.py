"""Pytest fixtures; load them with `pytest_plugins = ["brevo_sandbox.fixtures"]` or `-p brevo_sandbox.fixtures`.

No entry point names this module: a wheel that shops install must not load itself into their test runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette

from brevo_sandbox.app import create_app
from brevo_sandbox.server import running
from brevo_sandbox.state import Sandbox


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox on a free port of this machine; all three see the same messages."""

    url: str
    """Where clients send their requests to, as `http://127.0.0.1:49152/v3`."""
    sandbox: Sandbox
    """Its state: faults, switches, messages."""
    app: Starlette
    """The application, for `httpx.ASGITransport`, where no socket is wanted."""


@pytest.fixture(scope="session")
def _running_brevo_sandbox() -> Iterator[RunningSandbox]:
    sandbox = Sandbox()
    with running(sandbox) as url:
        yield RunningSandbox(url, sandbox, create_app(sandbox))


@pytest.fixture
def brevo_sandbox(_running_brevo_sandbox: RunningSandbox) -> RunningSandbox:
    """A running stand-in for the Brevo Conversations API, empty and with its first settings in each test."""
    _running_brevo_sandbox.sandbox.reset()
    return _running_brevo_sandbox

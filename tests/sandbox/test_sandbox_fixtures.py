"""The fixtures as a stranger's project uses them."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

STRANGERS_TESTS = """
import asyncio
import httpx
import pytest
from brevo_sandbox import Rules

PUSHED = "/conversations/pushedMessages"
KEY = {"api-key": "any"}
ORDER = {"text": "Shipped", "visitorId": "v-1", "agentId": "a-1"}


@pytest.mark.parametrize("turn", [1, 2])
def test_over_a_socket(brevo_sandbox, turn):
    assert brevo_sandbox.url.startswith("http://127.0.0.1:")
    assert list(brevo_sandbox.sandbox.store.messages()) == [], "each test begins with nothing"
    assert brevo_sandbox.sandbox.rules == Rules()
    brevo_sandbox.sandbox.set_rules(Rules(false_flags=False))
    answer = httpx.post(brevo_sandbox.url + PUSHED, json=ORDER, headers=KEY)
    assert answer.status_code == 200
    assert [message.text for message in brevo_sandbox.sandbox.store.chat("v-1")] == ["Shipped"]


def test_without_a_socket(brevo_sandbox):
    async def create():
        transport = httpx.ASGITransport(brevo_sandbox.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox/v3") as client:
            return await client.post(PUSHED, json=ORDER, headers=KEY)

    made = asyncio.run(create()).json()
    read = httpx.get(f"{brevo_sandbox.url}{PUSHED}/{made['id']}", headers=KEY)
    assert read.json() == made
"""


def test_a_project_that_asks_for_them_gets_a_running_sandbox(pytester: pytest.Pytester) -> None:
    """One line in its conftest; each test finds the sandbox empty."""
    pytester.makeconftest('pytest_plugins = ["brevo_sandbox.fixtures"]')
    pytester.makepyfile(STRANGERS_TESTS)
    done = pytester.runpytest_subprocess("-W", "error")
    done.assert_outcomes(passed=3)


def test_the_command_line_can_ask_for_them(pytester: pytest.Pytester) -> None:
    """No conftest needed."""
    pytester.makepyfile(STRANGERS_TESTS)
    pytester.runpytest_subprocess("-W", "error", "-p", "brevo_sandbox.fixtures").assert_outcomes(passed=3)


def test_a_project_that_does_not_ask_is_left_alone(pytester: pytest.Pytester) -> None:
    """Installed is not loaded."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded(request):
            assert "brevo_sandbox" not in sys.modules
            assert not request.config.pluginmanager.has_plugin("brevo_sandbox.fixtures")

        def test_the_name_is_free(brevo_sandbox):
            pass
        """
    )
    done = pytester.runpytest_subprocess("-W", "error")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*fixture 'brevo_sandbox' not found*"])

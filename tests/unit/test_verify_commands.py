"""The verb `verify`: what a walk does with messages that cannot be read, where it goes on, and its exit status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pushledger.errors import UnknownLocalId
from pushledger_worker import verify_commands
from pushledger_worker.verification import Verified

SAME = ("same", True, None)
UNREAD = ("unread", True, None)
NO_CALL = ("unread", False, None)
MOVING = ("moving", False, None)


class Stub:
    """Finds what it was told of each message; None for one that was forgotten."""

    def __init__(self, findings: Mapping[str, tuple[str, bool, str | None] | None]) -> None:
        self.findings = findings
        self.looked_at: list[str] = []
        self.waits: list[timedelta] = []
        self.repairs: list[frozenset[str]] = []

    async def walk(self, state: str, after: str) -> list[str]:
        return sorted(local_id for local_id in self.findings if local_id > after)

    async def verify(self, local_id: str, *, wait: timedelta, repair: frozenset[str], **_: Any) -> Verified:
        self.looked_at.append(local_id)
        self.repairs.append(repair)
        self.waits.append(wait)
        found = self.findings[local_id]
        if found is None:
            raise UnknownLocalId(local_id)
        finding, cost_a_call, repaired = found
        return Verified(local_id, finding, "m", "a remedy", "", repaired, cost_a_call)  # type: ignore[arg-type]


def run(monkeypatch: pytest.MonkeyPatch, stub: Stub, *arguments: str) -> Result:
    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[Stub]:
        yield stub

    monkeypatch.setattr(verify_commands, "open_verification", opened)
    monkeypatch.setenv("PUSHLEDGER_API_KEY", "a-key")
    return CliRunner().invoke(verify_commands.verify, arguments)


def walk(monkeypatch: pytest.MonkeyPatch, stub: Stub, *arguments: str) -> Result:
    return run(monkeypatch, stub, "--all-state", "delivered", *arguments)


def test_a_walk_goes_on_past_a_message_that_was_forgotten_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({"a": SAME, "b": None, "c": SAME})
    done = walk(monkeypatch, stub)
    assert (done.exit_code, stub.looked_at) == (0, ["a", "b", "c"])
    assert "2 same" in done.output
    assert "go on with" not in done.output, "all were looked at"


def test_a_walk_goes_on_past_a_message_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({"a": SAME, "b": UNREAD, "c": SAME})
    done = walk(monkeypatch, stub)
    assert (done.exit_code, stub.looked_at) == (1, ["a", "b", "c"])
    assert "go on with" not in done.output


def test_a_walk_ends_when_nothing_can_be_read_and_leaves_none_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({"a": SAME, **dict.fromkeys("bcdef", UNREAD)})
    done = walk(monkeypatch, stub)
    assert (done.exit_code, stub.looked_at) == (1, ["a", "b", "c", "d"])
    assert "1 of 6 looked at; go on with --after a\n" in done.output


def test_a_walk_without_a_free_call_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub(dict.fromkeys("abc", NO_CALL))
    done = walk(monkeypatch, stub)
    assert stub.looked_at == ["a"]
    assert "0 of 3 looked at; go on with the same command" in done.output


def test_where_to_go_on_may_be_pasted_into_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({"it's $HOME": SAME, "z": SAME})
    done = walk(monkeypatch, stub, "--calls", "1")
    assert """1 of 2 looked at; go on with --after 'it'"'"'s $HOME'""" in done.output


def test_no_wait_means_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({"a": SAME})
    walk(monkeypatch, stub, "--wait", "0s")
    run(monkeypatch, stub, "a", "--wait", "0s")
    assert stub.waits == [timedelta(0), timedelta(0)]


@pytest.mark.parametrize("arguments", [(), ("a", "--all-state", "delivered")])
def test_one_message_or_all_in_a_state(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    assert run(monkeypatch, Stub({}), *arguments).exit_code == 2


def test_nothing_to_walk_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walk(monkeypatch, Stub({})).exit_code == 0


def test_what_is_on_its_way_is_no_error_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({"a": MOVING, "b": MOVING, "c": SAME})
    assert walk(monkeypatch, stub, "--calls", "1").exit_code == 0
    assert stub.looked_at == ["a", "b", "c"]


def test_a_repair_that_could_only_mark_it_failed_leaves_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, Stub({"a": ("gone", True, "failed")}), "a", "--repair")
    assert (done.exit_code, done.output) == (1, "a: gone; a remedy\n")
    done = run(monkeypatch, Stub({"a": ("gone", True, "queued")}), "a", "--repair")
    assert (done.exit_code, done.output) == (0, "a: gone; repaired: queued\n")


def test_a_walk_creates_nothing_anew_before_it_has_read_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key of another account every message is gone."""
    gone = ("gone", True, None)
    stub = Stub({"a": gone, "b": gone, "c": ("differs", True, "queued"), "d": gone})
    assert walk(monkeypatch, stub, "--repair").exit_code == 1
    assert stub.repairs == [{"differs"}, {"differs"}, {"differs"}, {"differs", "gone"}]
    run(monkeypatch, stub, "a", "--repair")
    assert stub.repairs[-1] == {"differs", "gone"}, "a single one is a person's word"
    walk(monkeypatch, stub)
    assert stub.repairs[-1] == frozenset()

"""What a container starts with: its secrets, or the demo, or a sentence."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from pushledger import LedgerUnavailable
from pushledger.orders import Status
from pushledger_worker import shop
from pushledger_worker.container import DEMO, NotToStart, check_secrets, environment_for
from pushledger_worker.settings import WorkerSettings

TOKENS = "anna:operate:a-token-of-twenty-letters"


def there(seconds: float) -> bool:
    return True


def away(seconds: float) -> bool:
    return False


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where compose.yaml says that the files are; none is there yet. The check reads its settings from the process."""
    # The check sets these for its process, and they must not outlive the test.
    for name in ("PUSHLEDGER_API_KEY", "PUSHLEDGER_DASHBOARD_TOKENS"):
        monkeypatch.setenv(name, "")
        monkeypatch.setenv(f"{name}_FILE", "")
    return {
        "PUSHLEDGER_API_KEY_FILE": str(tmp_path / "api_key"),
        "PUSHLEDGER_DASHBOARD_TOKENS_FILE": str(tmp_path / "tokens"),
    }


def write(files: dict[str, str], name: str, text: str) -> None:
    Path(files[name]).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("service", "name"), [("worker", "API_KEY"), ("dashboard", "DASHBOARD_TOKENS")])
def test_a_secret_comes_from_the_environment_or_from_the_file(service: str, name: str, files: dict[str, str]) -> None:
    """Exactly one of the two is handed on; the sandbox of a demo does not change it."""
    name = f"PUSHLEDGER_{name}"
    found = environment_for(service, {**files, name: "given"}, there)
    assert (found[name], found[f"{name}_FILE"]) == ("given", "")
    write(files, f"{name}_FILE", "given\n")
    found = environment_for(service, {**files, name: ""}, there)
    assert (found[name], found[f"{name}_FILE"]) == ("", files[f"{name}_FILE"])
    assert "PUSHLEDGER_ACCOUNT" not in found


@pytest.mark.parametrize("service", ["worker", "dashboard"])
def test_without_a_secret_it_is_the_demo_if_there_is_one(
    service: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an account of its own, whatever account was named; an empty file is no secret."""
    write(files, "PUSHLEDGER_API_KEY_FILE", "\n")
    found = environment_for(service, {**files, "PUSHLEDGER_ACCOUNT": "shop"}, there)
    assert {name: found[name] for name in DEMO} == DEMO
    assert found["PUSHLEDGER_ACCOUNT"] == "demo"
    if service == "worker":
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        assert "sandbox" in WorkerSettings().api_url
    with pytest.raises(NotToStart, match="docker compose --profile demo up"):
        environment_for(service, files, away)


def test_the_check_names_all_that_is_missing_and_where_it_belongs(files: dict[str, str]) -> None:
    with pytest.raises(NotToStart) as both:
        check_secrets(files, away)
    for said in ("API key", "secrets/worker/api_key", "dashboard token", "secrets/dashboard/tokens"):
        assert said in str(both.value)
    write(files, "PUSHLEDGER_API_KEY_FILE", "a-key")
    for looks in (away, there):
        with pytest.raises(NotToStart, match="no dashboard token is given"):
            check_secrets(files, looks)


def test_the_check_keeps_imaginary_orders_from_real_ones(files: dict[str, str]) -> None:
    assert check_secrets(files, there).startswith("the demo")
    write(files, "PUSHLEDGER_API_KEY_FILE", "a-key")
    write(files, "PUSHLEDGER_DASHBOARD_TOKENS_FILE", TOKENS)
    assert check_secrets(files, away).startswith("API key")
    with pytest.raises(NotToStart, match="imaginary orders and real ones stay apart"):
        check_secrets(files, there)


def test_the_check_tells_of_a_file_that_cannot_be_used(files: dict[str, str]) -> None:
    """And quotes nothing of it."""
    Path(files["PUSHLEDGER_API_KEY_FILE"]).write_bytes(b"\xff\xfe secret")
    with pytest.raises(NotToStart, match=r"PUSHLEDGER_API_KEY_FILE: .* cannot be read by user \d+ .*RUN_AS") as error:
        check_secrets(files, away)
    assert "secret" not in str(error.value)


# ---------------------------------------------------------------- the shop


class Ledger:
    """Stands for the ledger as the shop sees it; away at first, then nearly full, then as it should be."""

    def __init__(self) -> None:
        self._waiting = iter([LedgerUnavailable("away"), shop.MOST_WAITING])

    def counts(self) -> dict[str, int]:
        waiting = next(self._waiting, 0)
        if isinstance(waiting, Exception):
            raise waiting
        return {"queued": waiting, "sending": 0, "retrying": 0}


def test_the_shop_waits_while_redis_is_away_or_much_waits_and_ends_when_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No event is left out for it, and the numbers of a later day are others."""
    monkeypatch.setattr(shop, "DAY_SECONDS", 0.0)
    monkeypatch.setattr(shop, "TRY_AGAIN_SECONDS", 0.0)
    moved: list[tuple[str, Status, int]] = []
    stopping = threading.Event()

    def move(self: Any, order: str, status: Status, **values: Any) -> None:
        moved.append((order, status, values["version"]))
        if len(moved) == 10:
            stopping.set()

    monkeypatch.setattr("pushledger_worker.shop.OrderStatus.moved", move)
    monkeypatch.setattr(shop.time, "time", lambda: 5000.0)
    shop.keep_shop(Ledger(), stopping)  # type: ignore[arg-type]
    assert len(moved) == 10
    assert all(5000 <= int(order) < 5000 + shop.ORDERS_A_DAY for order, _, _ in moved)


def test_the_imagined_orders_begin_with_a_create_and_their_versions_grow() -> None:
    """Leaving aside what comes again or late."""
    events = shop.imagine_shop(200, 60.0, random.Random(1), first=70)
    assert {event.order for event in events} == {str(number) for number in range(70, 270)}
    firsts: dict[str, int] = {}
    for event in events:
        firsts.setdefault(event.order, event.version)
    assert set(firsts.values()) == {1}
    assert any(event.status is Status.CANCELLED for event in events)
    assert all(0 <= event.at <= 71 for event in events)

"""The examples, as their READMEs start them, until the visitor sees the text."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from acceptance.conftest import Stage
    from conftest import WaitUntil

EXAMPLES = Path(__file__).parents[2] / "examples"
RECEIVED, SHIPPED = "We have received your order 1042.", "Your order 1042 is on its way."


def copied(name: str, folder: Path) -> Path:
    """The example, where it may leave its database."""
    return Path(shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("*.db", "__pycache__")))


def run(stage: Stage, folder: Path, *arguments: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={**os.environ, **stage.environment(**settings)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_shop_with_sqlalchemy(stage: Stage, tmp_path: Path, wait_until: WaitUntil) -> None:
    folder = copied("sqlalchemy_shop", tmp_path)
    outbox: dict[str, Any] = {"OUTBOX_URL": f"sqlite:///{folder}/shop.db"}
    # The rows of the example are those of the default account.
    stage.worker(ACCOUNT="default")
    run(stage, folder, "shop.py", "receive", "1042", "visitor-77", **outbox)
    assert "1 waiting" in run(stage, folder, "-m", "pushledger", "outbox", "status", ACCOUNT="default", **outbox)
    stage.process(["-m", "pushledger", "outbox", "relay"], ready=False, ACCOUNT="default", **outbox)
    wait_until(lambda: stage.sandbox.seen_by("visitor-77") == [RECEIVED], 30, "the visitor sees that it is received")
    run(stage, folder, "shop.py", "ship", "1042", **outbox)
    wait_until(lambda: stage.sandbox.seen_by("visitor-77") == [SHIPPED], 30, "the visitor sees that it is shipped")
    assert "0 waiting; 0 refused" in run(stage, folder, "-m", "pushledger", "outbox", "status", **outbox)


def test_the_shop_with_django(stage: Stage, tmp_path: Path, wait_until: WaitUntil) -> None:
    folder = copied("django_shop", tmp_path)
    stage.worker()
    run(stage, folder, "manage.py", "migrate", "--verbosity", "0")
    run(stage, folder, "manage.py", "makemigrations", "--check", "--dry-run")
    run(stage, folder, "manage.py", "order", "receive", "1042", "visitor-77")
    assert "1 waiting" in run(stage, folder, "manage.py", "pushledger_outbox", "status")
    relay = stage.process([f"{folder}/manage.py", "pushledger_outbox", "relay"], ready=False)
    wait_until(lambda: stage.sandbox.seen_by("visitor-77") == [RECEIVED], 30, "the visitor sees that it is received")
    run(stage, folder, "manage.py", "order", "ship", "1042")
    wait_until(lambda: stage.sandbox.seen_by("visitor-77") == [SHIPPED], 30, "the visitor sees that it is shipped")
    relay.terminate()
    assert relay.ends(10) == 0
    # Outside manage.py the verb finds the project by its settings.
    said = {"PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "project.settings"}
    done = subprocess.run(
        [sys.executable, "-m", "pushledger", "outbox", "status"],
        env={**os.environ, **stage.environment(), **said},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"account {stage.account}: 0 waiting; 0 refused\n", done.stderr


def test_the_shop_with_fastapi(stage: Stage, tmp_path: Path, wait_until: WaitUntil) -> None:
    folder = copied("fastapi_shop", tmp_path)
    stage.worker()
    shop = stage.process(["-m", "uvicorn", "--app-dir", str(folder), "--port", "0", "shop:app"], ready=False)
    wait_until(lambda: "Uvicorn running on" in shop.text(), 30, "the shop is ready")
    address = shop.text().partition("Uvicorn running on ")[2].split()[0]
    assert address.startswith("http://127.0.0.1:")
    with httpx.Client(base_url=address, timeout=10, trust_env=False) as client:
        assert client.post("/orders/1042/ship").status_code == 409
        received = client.post("/orders/1042/receive", params={"visitor_id": "visitor-77"})
        assert received.json() == {"message": "queued"}
        wait_until(lambda: stage.sandbox.seen_by("visitor-77") == [RECEIVED], 30, "the visitor sees it")
        assert client.post("/orders/1042/ship").status_code == 200
        wait_until(lambda: stage.sandbox.seen_by("visitor-77") == [SHIPPED], 30, "the visitor sees that it is shipped")
        wait_until(lambda: client.get("/orders/1042/message").json() == {"state": "delivered"}, 10, "it is at rest")
    shop.terminate()
    assert shop.ends(10) in (0, -15), shop.text()

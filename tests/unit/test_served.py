"""Which accounts a worker serves, as its folder says now."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pushledger.errors import SettingsError
from pushledger.ledger import RateWindow
from pushledger_worker.served import OWN_SETTINGS, ServedAccounts, account_settings, settings_for
from pushledger_worker.settings import WorkerSettings

KEY = "xkeysib-a-key-of-the-tests"


def add(root: Path, name: str, **files: str) -> Path:
    """An account's folder; a file for each setting."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    for file, content in {"api_key": KEY, **files}.items():
        (folder / file).write_text(content, encoding="utf-8")
    return folder


def worker(root: Path) -> WorkerSettings:
    return WorkerSettings(accounts_dir=root, rate="7/minute", inflight=3, shift="2s")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_folder_it_is_the_account_of_the_settings() -> None:
    settings = WorkerSettings(api_key=KEY, account="shop")
    assert ServedAccounts(settings).current() == {"shop": settings}


def test_files_are_settings_and_what_has_no_file_is_the_workers(tmp_path: Path) -> None:
    add(tmp_path, "fr", rate="200/hour\n", api_url="http://127.0.0.1:1/v3/")
    fr = account_settings(worker(tmp_path), tmp_path / "fr")
    assert (fr.account, fr.api_key_file, fr.accounts_dir) == ("fr", tmp_path / "fr" / "api_key", None)
    assert fr.rate == (RateWindow(200, timedelta(hours=1)),)
    assert (fr.api_url, fr.inflight, fr.shift) == ("http://127.0.0.1:1/v3", 3, timedelta(seconds=2))


def test_every_setting_of_an_accounts_own_is_a_setting() -> None:
    assert set(OWN_SETTINGS) <= set(WorkerSettings.model_fields)


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("fr", {"rat": "200/hour"}, "account fr: rat: is no setting of an account's own"),
        ("fr", {"rate": "many"}, "account fr: PUSHLEDGER_RATE: "),
        ("fr", {"rate": ""}, "account fr: PUSHLEDGER_RATE: "),
        ("fr", {"rate": "5/99999999999999999999h"}, "account fr: PUSHLEDGER_RATE: must have a period"),
        ("fr", {"rate": "5/0.0001s"}, "account fr: PUSHLEDGER_RATE: must have a period"),
        ("fr", {"rate": "9" * 400 + "/hour"}, "account fr: PUSHLEDGER_RATE: must be a number of calls"),
        ("fr", {"api_url": "http://[::1"}, "account fr: PUSHLEDGER_API_URL: must be an address"),
        ("fr", {"api_url": "http://a:99999999/"}, "account fr: PUSHLEDGER_API_URL: must be an address"),
        ("fr", {"api_key": "two words"}, "account fr: api_key: must hold printable ASCII"),
        ("F r", {}, "PUSHLEDGER_ACCOUNTS_DIR: the folder 'F r' must be named like an account"),
    ],
)
def test_what_is_not_in_order_is_refused_by_name(tmp_path: Path, name: str, files: dict[str, str], said: str) -> None:
    """A rate in a file with a typing error would else be the default rate: too many calls for that key."""
    folder = add(tmp_path, name, **files)
    with pytest.raises(SettingsError) as caught:
        account_settings(worker(tmp_path), folder)
    assert str(caught.value).startswith(said)
    assert "two words" not in str(caught.value)


def test_a_folder_that_cannot_be_listed_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrong mode on one mount, say."""
    for name in ("bad", "fr"):
        add(tmp_path, name)
    listed = Path.iterdir

    def list_others(folder: Path) -> Iterator[Path]:
        if folder.name == "bad":
            raise PermissionError
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", list_others)
    clock = Clock()
    served = ServedAccounts(worker(tmp_path), clock)
    assert set(served.current()) == {"fr"}
    assert "account bad: its folder cannot be read (PermissionError); it is not served" in caplog.text
    monkeypatch.undo()
    clock.now += 1
    assert set(served.current()) == {"bad", "fr"}


def test_a_folder_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fr").mkdir()
    with pytest.raises(SettingsError, match="account fr: api_key: cannot be read"):
        account_settings(worker(tmp_path), tmp_path / "fr")


def test_accounts_come_and_go_and_change_without_a_restart(tmp_path: Path) -> None:
    add(tmp_path, "fr")
    add(tmp_path, "..2027_01_15")  # as Kubernetes keeps what it mounts
    (tmp_path / "readme.txt").write_text("a file is no account", encoding="utf-8")
    clock = Clock()
    served = ServedAccounts(worker(tmp_path), clock)
    assert set(served.current()) == {"fr"}

    add(tmp_path, "de", rate="5/minute")
    assert set(served.current()) == {"fr"}, "it looks about once a second"
    clock.now += 1
    assert set(served.current()) == {"fr", "de"}

    before = served.current()["fr"]
    add(tmp_path, "de", rate="6/minute")
    (tmp_path / "fr" / "api_key").write_text("another-key", encoding="utf-8")
    clock.now += 1
    assert served.current()["de"].rate == (RateWindow(6, timedelta(minutes=1)),)
    assert served.current()["fr"] == before, "another key needs no other client"

    os.rename(tmp_path / "fr", tmp_path / ".fr")  # noqa: PTH104
    clock.now += 1
    assert set(served.current()) == {"de"}


def test_one_that_is_not_in_order_is_told_once_and_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(tmp_path, "fr", rate="many")
    add(tmp_path, "de")
    clock = Clock()
    served = ServedAccounts(worker(tmp_path), clock)
    for _ in range(3):
        assert set(served.current()) == {"de"}
        clock.now += 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.__dict__["account"] for record in errors] == ["fr"]
    add(tmp_path, "fr", rate="1/minute")
    add(tmp_path, "de", **{"api_key~": "left by an editor"})
    assert set(served.current()) == {"de", "fr"}, "what was in order goes on as it was"
    assert "account de: api_key~: is no setting of an account's own" in caplog.text


def test_a_folder_that_goes_away_leaves_what_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A mount that comes back must not have stopped all accounts meanwhile."""
    root = tmp_path / "accounts"
    root.mkdir()
    add(root, "fr")
    clock = Clock()
    served = ServedAccounts(worker(root), clock)
    served.current()
    root.rename(tmp_path / "away")
    clock.now += 1
    assert set(served.current()) == {"fr"}
    assert "PUSHLEDGER_ACCOUNTS_DIR: cannot be read" in caplog.text


def test_one_source_of_keys_must_be_given(tmp_path: Path) -> None:
    for given in ({}, {"api_key": KEY, "accounts_dir": tmp_path}):
        with pytest.raises(SettingsError, match=r"exactly one of .*PUSHLEDGER_ACCOUNTS_DIR"):
            WorkerSettings(**given)
    with pytest.raises(SettingsError, match="PUSHLEDGER_ACCOUNTS_DIR: must be a folder"):
        WorkerSettings(accounts_dir=tmp_path / "none")


def test_a_command_gets_the_key_of_the_account_it_names_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key of another account every message would seem to be gone."""
    add(tmp_path, "fr")
    monkeypatch.setenv("PUSHLEDGER_ACCOUNTS_DIR", str(tmp_path))
    assert settings_for("fr").api_key_file == tmp_path / "fr" / "api_key"
    for name in ("de", "..", None):
        with pytest.raises(SettingsError, match="has no folder in PUSHLEDGER_ACCOUNTS_DIR"):
            settings_for(name)
    monkeypatch.delenv("PUSHLEDGER_ACCOUNTS_DIR")
    monkeypatch.setenv("PUSHLEDGER_API_KEY", KEY)
    assert settings_for(None).account == "default"
    with pytest.raises(SettingsError, match="account fr: the key here is that of default"):
        settings_for("fr")

"""The folder of `pushledger up`: for its owner alone, and for one at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pushledger_worker.data_folder import DataFolder, FolderInUse, UnfitFolder, default_folder


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.make()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def nothing() -> None:
    """Whoever waits here says nothing."""


def test_it_does_not_depend_on_where_it_is_called_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable that names a relative folder is not followed, as its specification asks."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder({}) == tmp_path / ".local" / "share" / "pushledger"
    assert default_folder({"XDG_DATA_HOME": "data"}) == default_folder({})
    assert default_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/pushledger")


def test_what_is_in_it_is_for_its_owner_alone(folder: DataFolder) -> None:
    folder.secret("redis_password")
    assert (mode(folder.path), mode(folder.valkey), mode(folder.path / "redis_password")) == (0o700, 0o700, 0o600)


def test_a_folder_that_others_may_enter_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """It is not changed silently: it may be somebody's home."""
    path = tmp_path / "an open one"
    path.mkdir(mode=0o755)
    with pytest.raises(UnfitFolder, match=r"chmod 700 '.*an open one'.*--data"):
        DataFolder(path).make()
    assert mode(path) == 0o755


def test_a_file_in_its_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnfitFolder, match="choose another folder with --data"):
        DataFolder(tmp_path / "file" / "data").make()


def test_a_secret_is_kept_and_one_that_was_cut_off_is_made_anew(folder: DataFolder) -> None:
    first = folder.secret("token").get_secret_value()
    assert len(first) >= 32
    assert folder.secret("token").get_secret_value() == first
    assert folder.secret("another").get_secret_value() != first
    (folder.path / "token").write_text("\n")
    assert folder.secret("token").get_secret_value() not in ("", first)


@pytest.mark.parametrize("text", ["short", "with a blank in it, which no URL would take", "ä" * 40])
def test_a_secret_that_somebody_wrote_and_that_fits_nowhere_is_refused(text: str, folder: DataFolder) -> None:
    """And not quoted."""
    (folder.path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(UnfitFolder, match="token: must hold 32 or more letters and digits; delete it") as error:
        folder.secret("token")
    assert text not in str(error.value)


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(folder.shop_environment, "as it was\n")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnfitFolder, match=r"shop\.env cannot be written: No space left on device"):
        folder.write(folder.shop_environment, "new\n")
    assert folder.shop_environment.read_text() == "as it was\n"


def test_two_on_one_folder_refuse_and_the_first_is_named(folder: DataFolder) -> None:
    with folder.claimed(0, nothing), pytest.raises(FolderInUse, match=rf"already \(process {os.getpid()}\).*--data"):  # noqa: SIM117
        with folder.claimed(0, nothing):
            pass
    with folder.claimed(0, nothing):
        pass


def test_what_an_earlier_one_left_running_is_waited_for(folder: DataFolder) -> None:
    """The lock is held by whoever inherited it, not by the process number of who made it."""
    waited: list[bool] = []
    with folder.claimed(0, nothing) as lock:
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    try:
        with pytest.raises(FolderInUse, match=r"have not ended in 0 s; end those that `fuser -v .*parts\.lock` names"):  # noqa: SIM117
            with folder.claimed(0, nothing):
                pass

        def end() -> None:
            waited.append(True)
            left.communicate(b"\n")

        with folder.claimed(60, end):
            assert left.returncode == 0
        assert waited == [True]
    finally:
        left.kill()
        left.communicate()

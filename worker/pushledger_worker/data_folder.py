"""The folder in which `pushledger up` keeps everything: the ledger's files, its secrets, and whose it is just now."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shlex
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pushledger.errors import PushledgerError
from pydantic import SecretStr

__all__ = ["DataFolder", "FolderInUse", "UnfitFolder", "default_folder"]

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOOK_EVERY = 0.1
# It stands in URLs and configuration files as it is.
_SECRET = re.compile(r"[A-Za-z0-9_-]{32,512}", re.ASCII)


class UnfitFolder(PushledgerError):
    """The folder cannot be used; the text names the way out."""


class FolderInUse(PushledgerError):
    """Somebody else works in the folder."""


def default_folder(environment: Mapping[str, str]) -> Path:
    """The same wherever it is called from: a ledger that is looked for elsewhere would seem lost."""
    data = environment.get("XDG_DATA_HOME", "")
    return (Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share") / "pushledger"


class DataFolder:
    """Everything in it is for its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def make(self) -> None:
        """Make it if it is not there. Raises UnfitFolder when it cannot be had, or others may look into it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.path.stat()
            if found.st_uid != os.getuid():
                raise UnfitFolder(f"{self.path} belongs to another user; choose another folder with --data")
            if found.st_mode & _OTHERS:
                private = shlex.join(["chmod", "700", str(self.path)])
                raise UnfitFolder(f"others may enter {self.path}; let them not ({private}), or choose another (--data)")
            self.valkey.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UnfitFolder(
                f"{self.path}: {error.strerror or error}; set that right, or choose another folder with --data"
            ) from None

    @property
    def valkey(self) -> Path:
        """Where Valkey keeps its files."""
        return self.path / "valkey"

    @property
    def api_key(self) -> Path:
        """Where the API key may be put."""
        return self.path / "api_key"

    @property
    def dashboard_token(self) -> Path:
        """Where the token is that was made for the dashboard."""
        return self.path / "dashboard_token"

    @property
    def shop_environment(self) -> Path:
        """What a shop needs in its environment."""
        return self.path / "shop.env"

    def secret(self, name: str) -> SecretStr:
        """A secret of this name, made at its first use and kept. Raises UnfitFolder when it cannot be used."""
        path = self.path / name
        if not _read(path):
            self.write(path, f"{secrets.token_hex(24)}\n")
        found = _read(path)
        if not _SECRET.fullmatch(found):
            raise UnfitFolder(f"{path}: must hold 32 or more letters and digits; delete it, and another is made")
        return SecretStr(found)

    def write(self, path: Path, text: str) -> None:
        """Write a file for the owner alone, whole or not at all. Raises UnfitFolder when there is no room."""
        new = path.with_name(f".{path.name}.new")
        try:
            new.unlink(missing_ok=True)
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise UnfitFolder(f"{path} cannot be written: {error.strerror or error}") from None

    @contextmanager
    def claimed(self, patience: float, on_wait: Callable[[], None]) -> Iterator[int]:
        """Be the only one in it; gives a descriptor that each process started here must inherit.

        The first lock is this process's own. The second is held by all who inherit it, so that it is free only when
        the last process of an earlier claim has ended, however its first one ended. Raises FolderInUse.
        """
        with ExitStack() as stack:
            own = stack.enter_context(_opened(self.path / "up.lock"))
            if not _locks(own):
                pid = os.read(own, 20).decode(errors="replace").strip()
                who = f"process {pid}" if pid.isdecimal() else "another process"
                raise FolderInUse(
                    f"`pushledger up` runs in {self.path} already ({who}); stop that one, or choose another folder "
                    "and other ports (--data, --redis-port, --dashboard-port)"
                )
            os.ftruncate(own, 0)
            os.write(own, f"{os.getpid()}\n".encode())
            shared = stack.enter_context(_opened(self.path / "parts.lock"))
            ends = time.monotonic() + patience
            if not _locks(shared):
                on_wait()
                while not _locks(shared):
                    if time.monotonic() > ends:
                        raise FolderInUse(
                            f"processes of an earlier `pushledger up` in {self.path} have not ended in {patience:g} s; "
                            f"end those that `fuser -v {shlex.quote(str(self.path / 'parts.lock'))}` names"
                        )
                    time.sleep(_LOOK_EVERY)
            yield shared


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnfitFolder(f"{path} cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnfitFolder(f"{path} cannot be opened: {error.strerror or error}") from None
    try:
        yield handle
    finally:
        os.close(handle)


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

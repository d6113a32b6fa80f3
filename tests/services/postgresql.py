"""Debian's PostgreSQL as a private cluster: in a folder of its own, reached by a socket in it, gone with the test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["PostgreSQL", "postgresql"]

_MISSING = "PostgreSQL is missing: install Debian's package 'postgresql' (apt-get install postgresql)"


def _programs() -> Path:
    """The folder of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.fail(_MISSING, pytrace=False)
    return found[-1].parent


class PostgreSQL:
    """A cluster with a database `shop`, that may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._folder = _programs(), folder
        # It refuses to run as root; the package brings a user for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        owner = pwd.getpwuid(os.geteuid()).pw_name
        self._run(
            "initdb", "--pgdata", "data", "--username", owner, "--auth", "trust", "--no-sync", "--encoding", "UTF8"
        )
        self.start()
        self._run("createdb", "--host", str(folder), "--username", owner, "shop")
        self.url = f"postgresql+psycopg://{owner}@/shop?host={folder}"

    def _run(self, program: str, *arguments: str) -> None:
        # What pg_ctl starts keeps the output open: a pipe would never end.
        with (self._folder / f"{program}.log").open("w+") as log:
            done = subprocess.run(
                [self._programs / program, *arguments],
                cwd=self._folder,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=60,
                check=False,
            )
            log.seek(0)
            assert done.returncode == 0, f"{program}: {log.read()}"

    def start(self) -> None:
        """Start it; returns once it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "start", "--wait", "--pgdata", "data", "--log", "server.log", "--options", options)

    def stop(self) -> None:
        """Stop it as a crash would: clients are cut off."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata", "data", "--mode", "immediate")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One cluster for the whole run."""
    # pytest's own folders are closed to other users, and their names too long for a socket.
    with tempfile.TemporaryDirectory(prefix="pushledger-pg-") as folder:
        cluster = PostgreSQL(Path(folder))
        yield cluster
        cluster.stop()

"""The accounts that a worker serves: the one of its settings, or those of a folder that may change while it runs.

``PUSHLEDGER_ACCOUNTS_DIR`` holds one folder for each account, named like it. Its files are named like the settings that
may differ: ``api_key`` must be there, ``rate`` and others may. That is how secrets are mounted into containers, so
names that begin with a dot are left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pushledger.errors import SettingsError
from pushledger.settings import is_account_name

from pushledger_worker.api_key import ApiKey
from pushledger_worker.settings import WorkerSettings

__all__ = ["OWN_SETTINGS", "ServedAccounts", "account_settings", "settings_for"]

log = logging.getLogger(__name__)

# What workers alone work by. What producers must agree on is the same for all accounts.
OWN_SETTINGS = (
    "api_url",
    "rate",
    "high_priority_share",
    "inflight",
    "call_timeout",
    "give_up_after",
    "backoff_first",
    "backoff_limit",
    "signal_age",
)
KEY = "api_key"
LOOK_EVERY = 1.0
_NOT_TAKEN_ON = ("account", "accounts_dir", "api_key", "api_key_file")


def account_settings(settings: WorkerSettings, folder: Path) -> WorkerSettings:
    """The settings of the account that a folder describes; those it does not name are the worker's.

    Raises SettingsError, which names the account, the file and the rule, and quotes no content.
    """
    name = folder.name
    if not is_account_name(name):
        raise SettingsError(
            f"PUSHLEDGER_ACCOUNTS_DIR: the folder {name!r} must be named like an account: "
            "1 to 64 letters, digits, dots, dashes and underscores"
        )
    try:
        files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    except OSError as error:
        raise SettingsError(f"account {name}: its folder cannot be read ({type(error).__name__})") from None
    for path in files:
        if path.name not in (KEY, *OWN_SETTINGS):
            known = ", ".join((KEY, *OWN_SETTINGS))
            raise SettingsError(f"account {name}: {path.name}: is no setting of an account's own; there are {known}")
    taken = {field: getattr(settings, field) for field in settings.model_fields_set if field not in _NOT_TAKEN_ON}
    try:
        ApiKey(None, folder / KEY).current()
        own = {path.name: path.read_text(encoding="utf-8").strip() for path in files if path.name != KEY}
        return WorkerSettings(**{**taken, **own, "account": name, "accounts_dir": None, "api_key_file": folder / KEY})
    except SettingsError as error:
        said = str(error).replace("PUSHLEDGER_API_KEY_FILE", KEY)
        raise SettingsError(f"account {name}: {said}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"account {name}: its files cannot be read ({type(error).__name__})") from None


def settings_for(account: str | None) -> WorkerSettings:
    """The environment's settings for one account; None: that of PUSHLEDGER_ACCOUNT. Raises SettingsError if there is
    no key for it here: with another account's, every message would seem to be gone."""
    settings = WorkerSettings()
    name = settings.account if account is None else account
    if settings.accounts_dir is not None:
        folder = settings.accounts_dir / name
        if not is_account_name(name) or not folder.is_dir():
            raise SettingsError(
                f"account {name}: has no folder in PUSHLEDGER_ACCOUNTS_DIR, so its key is not known here"
            )
        return account_settings(settings, folder)
    if name != settings.account:
        raise SettingsError(f"account {name}: the key here is that of {settings.account} (PUSHLEDGER_ACCOUNT)")
    return settings


class ServedAccounts:
    """Reads the folder again about once a second. What is not in order is told in the log: an account goes on as it was
    before, and a new one is not served."""

    def __init__(self, settings: WorkerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._look_from = float("-inf")
        self._marks: dict[str, object] = {}
        self._served = {} if settings.accounts_dir else {settings.account: settings}

    def current(self) -> Mapping[str, WorkerSettings]:
        """The settings of each account as they are now, by its name."""
        if self._settings.accounts_dir is not None and self._clock() >= self._look_from:
            self._look_from = self._clock() + LOOK_EVERY
            try:
                self._read(self._settings.accounts_dir)
            except OSError as error:  # what was read before goes on
                log.error(
                    "PUSHLEDGER_ACCOUNTS_DIR: cannot be read (%s)",
                    type(error).__name__,
                    extra={"action": "accounts_unreadable"},
                )
        return self._served

    def _read(self, root: Path) -> None:
        marks = {path: _mark(path) for path in root.iterdir() if not path.name.startswith(".") and path.is_dir()}
        served = {name: one for name, one in self._served.items() if root / name in marks}
        for path, mark in sorted(marks.items()):
            if self._marks.get(path.name) == mark:
                continue
            try:
                served[path.name] = account_settings(self._settings, path)
            except SettingsError as error:
                log.error(
                    "%s; it goes on as it was" if path.name in served else "%s; it is not served",
                    error,
                    extra={"action": "account_refused", "account": path.name},
                )
        for name in self._served.keys() ^ served.keys():
            said = "is served from now on" if name in served else "is not served any more"
            log.info("account %s %s", name, said, extra={"action": "accounts_changed", "account": name})
        self._marks = {path.name: mark for path, mark in marks.items()}
        self._served = served


def _mark(folder: Path) -> object:
    """Differs when a file of the folder was written, put in place of another, added or taken away."""
    try:
        paths = list(folder.iterdir())
    except OSError as error:  # one folder that cannot be read must not hide the others
        return type(error).__name__
    found = []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            seen = path.stat()
        except OSError:  # taken away just now, or a link to nothing
            continue
        found.append((path.name, seen.st_mtime_ns, seen.st_ino, seen.st_size))
    return sorted(found)

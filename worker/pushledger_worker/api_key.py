"""The API key: from the environment, or from a file that may be replaced while the worker runs."""

from __future__ import annotations

import re
from pathlib import Path

from pushledger.errors import SettingsError
from pydantic import SecretStr

__all__ = ["ApiKey"]


class ApiKey:
    """Hands out the key as it is now."""

    def __init__(self, key: SecretStr | None, path: Path | None) -> None:
        self._key = key
        self._path = path
        self._read_at = -1

    def current(self) -> SecretStr:
        """The key; reads the file again when it has changed. Raises SettingsError when it cannot be used."""
        if self._path is not None:
            try:
                changed = self._path.stat().st_mtime_ns
                if changed != self._read_at:
                    self._key, self._read_at = SecretStr(self._path.read_text(encoding="utf-8").strip()), changed
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"PUSHLEDGER_API_KEY_FILE: cannot be read ({type(error).__name__})") from None
        if self._key is None or not re.fullmatch(r"[\x21-\x7e]+", self._key.get_secret_value()):
            raise SettingsError("PUSHLEDGER_API_KEY_FILE: must hold printable ASCII without blanks")
        return self._key

"""Ids in the form in which the API's examples show them: 17 letters and digits."""

from __future__ import annotations

import hashlib
import random
import string

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 17

_system_random = random.SystemRandom()


def new_id() -> str:
    """Make an id no earlier run can have given out: a caller may still hold ids from before a restart."""
    return "".join(_system_random.choices(_ALPHABET, k=_LENGTH))


def derived_id(origin: str) -> str:
    """Make the id that always belongs to the same origin."""
    digest = hashlib.sha256(origin.encode("utf-8", "surrogatepass")).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:_LENGTH])

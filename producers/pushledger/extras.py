"""Parts of the distribution that need an extra, found by their entry points."""

from __future__ import annotations

import importlib.util
from importlib.metadata import EntryPoint

__all__ = ["lacks_extra", "remedy"]


def remedy(part: EntryPoint) -> str:
    """What to install for it."""
    distribution = part.dist.name if part.dist else "pushledger"
    return f"needs: pip install '{distribution}[{','.join(sorted(part.extras))}]'"


def lacks_extra(part: EntryPoint, error: Exception) -> bool:
    """Whether the error says that the packages of the part's extra are not installed."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or not part.extras:
        return False
    package = error.name.partition(".")[0]
    own = {part.module.partition(".")[0], __name__.partition(".")[0]}
    # A package that is there and lacks a module is a bug, or a version that the extra does not allow.
    return package not in own and importlib.util.find_spec(package) is None

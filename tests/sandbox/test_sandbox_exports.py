"""The public face of the package."""

from __future__ import annotations

from pathlib import Path

import brevo_sandbox


def test_all_is_sorted_and_complete() -> None:
    """Every public name that the package imports into its front is in `__all__`."""
    public = sorted(
        name
        for name, value in vars(brevo_sandbox).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("brevo_sandbox.")
    )
    assert public == brevo_sandbox.__all__


def test_it_is_typed() -> None:
    """Type checkers of those who use it read its annotations."""
    assert (Path(brevo_sandbox.__file__).parent / "py.typed").exists()

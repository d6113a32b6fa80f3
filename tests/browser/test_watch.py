"""The watch itself: what it would not notice, no other test here could."""

from __future__ import annotations

import pytest
from acceptance.conftest import Stage
from browser.conftest import Visit
from browser.visit import Watch
from browser.waiting import awaited

_ADD = "html => document.querySelector('main').insertAdjacentHTML('beforeend', html)"


@pytest.mark.parametrize(
    ("does", "noted"),
    [
        ("alert('hello')", "dialog: hello"),
        ("setTimeout(() => { throw new Error('broken') })", "script: broken"),
        ("console.error('broken')", "console: broken"),
        (f"({_ADD})('<img src=x onerror=alert(1)>')", "policy: script-src"),
        (f"({_ADD})('<p style=\"color: red\">')", "policy: style-src"),
        ("fetch('/of-nobody')", "answer: 404"),
        ("fetch('http://127.0.0.2:9/', {mode: 'no-cors'}).catch(() => {})", "policy: "),
    ],
)
def test_what_goes_wrong_is_noted(shop: Stage, visit: Visit, watches: list[Watch], does: str, noted: str) -> None:
    page, watch = visit(), watches[0]
    page.goto("/")
    page.evaluate(f"() => {{ {does} }}")

    def is_noted() -> bool:
        page.title()  # what the browser has told meanwhile is heard while it is asked something
        return any(note.startswith(noted) for note in watch.notes)

    awaited(is_noted, 5, f"{noted}: {watch.notes}")
    watches.clear()  # here it was meant to go wrong

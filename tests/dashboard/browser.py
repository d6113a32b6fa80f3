"""A browser without a screen: asks for pages, keeps cookies, and presses the buttons of their forms."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

# Elements that never have an end tag.
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Form:
    """A form of a page: where it goes, how, and what it sends; its buttons by what they send."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """A page as a browser reads it: forms, links, scripts, and text."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status, self.html = answer.status_code, answer.text
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._words: list[str] = []
        self._open: list[str] = []
        self._select = ""
        self.feed(self.html)

    @property
    def text(self) -> str:
        """What is read, in one line."""
        return re.sub(r"\s+", " ", " ".join(self._words)).strip()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.append((tag, values))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(values.get("action", ""), values.get("method", "get")))
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif self.forms and "form" in self._open:
            self._field(tag, values)

    def _field(self, tag: str, values: dict[str, str]) -> None:
        form = self.forms[-1]
        if tag == "input":
            form.fields[values["name"]] = values.get("value", "")
        elif tag == "select":
            self._select = values["name"]
        elif tag == "option" and ("selected" in values or self._select not in form.fields):
            form.fields[self._select] = values.get("value", "")
        elif tag == "button":
            form.buttons.append(values)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def form(self, action: str, button: str = "") -> Form:
        """The form that goes there, and has a button that sends this."""
        for one in self.forms:
            if one.action == action and (not button or any(b.get("value") == button for b in one.buttons)):
                return one
        raise AssertionError(f"no form goes to {action} with {button}: {self.forms}")

    def has(self, tag: str, **attributes: str) -> bool:
        """Whether there is such an element."""
        return any(name == tag and attributes.items() <= values.items() for name, values in self.tags)


async def look(client: httpx.AsyncClient, path: str, status: int = 200, **parameters: Any) -> Page:
    """Open a page."""
    answer = await client.get(path, params=parameters or None, headers={"Accept": "text/html"})
    assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
    assert answer.headers["content-type"].startswith("text/html"), path
    return Page(answer)


async def press(client: httpx.AsyncClient, form: Form, button: str = "", **fields: str) -> Page:
    """Send a form, and follow where it leads."""
    sent = {**form.fields, **({"action": button} if button else {}), **fields}
    answer = await client.post(form.action, data=sent, headers={"Accept": "text/html"})
    while answer.status_code == 303:
        answer = await client.get(answer.headers["location"], headers={"Accept": "text/html"})
    return Page(answer)

"""A person before a browser: opens pages, and notes whatever goes wrong in them unseen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Frame, Page, Request, Response

_SAY_VIOLATIONS = """
addEventListener("securitypolicyviolation", (it) => noteFromThePage(`${it.violatedDirective} ${it.blockedURI}`));
"""


@dataclass
class Watch:
    """What went wrong in the pages of one visitor: scripts, dialogs, refused content, foreign hosts, bad answers."""

    address: str
    notes: list[str] = field(default_factory=list)
    navigations: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def expect(self, status: int) -> None:
        """Answers of this status are meant to come."""
        self.expected.add(status)

    def begin(self, context: BrowserContext) -> None:
        """Listen to all pages of a context."""
        context.expose_function("noteFromThePage", lambda said: self.notes.append(f"policy: {said}"))
        context.add_init_script(_SAY_VIOLATIONS)
        context.on("dialog", self._dialog)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.notes.append(f"script: {error.error}"))
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("page", self._page)

    def _page(self, page: Page) -> None:
        page.on("framenavigated", self._navigated)

    def _navigated(self, frame: Frame) -> None:
        self.navigations.append(frame.url)

    def _dialog(self, dialog: Dialog) -> None:
        self.notes.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        is_expected = any(f"status of {status} " in message.text for status in self.expected)
        if message.type in ("error", "warning") and not is_expected:
            self.notes.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.address}/"):
            self.notes.append(f"foreign: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.notes.append(f"answer: {response.status} {response.url}")

"""Puts the API, the control API and the page together."""

from __future__ import annotations

from starlette.applications import Starlette

from brevo_sandbox.api import Api
from brevo_sandbox.control import control_routes
from brevo_sandbox.incoming import PREFIX
from brevo_sandbox.pages import page_routes
from brevo_sandbox.routes import Below
from brevo_sandbox.state import Sandbox


def create_app(sandbox: Sandbox) -> Starlette:
    """Make the ASGI application over a sandbox.

    Dropped connections need `brevo_sandbox.server`; elsewhere they show as `ConnectionDroppedError`.
    """
    return Starlette(routes=[Below(f"{PREFIX}/", Api(sandbox)), *control_routes(sandbox), *page_routes(sandbox)])

"""AsyncMessages for as long as an app lives, and the dependency that hands them to a route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeAlias

from fastapi import Depends, FastAPI
from pushledger import AsyncMessages, Settings
from starlette.requests import HTTPConnection

__all__ = ["TheMessages", "lifespan_messages", "messages_of"]


@asynccontextmanager
async def lifespan_messages(app: FastAPI, settings: Settings | None = None) -> AsyncIterator[AsyncMessages]:
    """Open the messages of an app, and close them at its end; settings come from the environment if not given.

    A setting that does not fit ends the start of the app with a SettingsError. Redis may be away at that time.
    """
    async with AsyncMessages(settings) as messages:
        app.state.pushledger_messages = messages
        try:
            yield messages
        finally:
            del app.state.pushledger_messages


def messages_of(connection: HTTPConnection) -> AsyncMessages:
    """The messages of the app that a request, or a WebSocket, came to."""
    messages = getattr(connection.app.state, "pushledger_messages", None)
    if not isinstance(messages, AsyncMessages):
        raise RuntimeError("the app's lifespan must hold `async with lifespan_messages(app):`")
    return messages


TheMessages: TypeAlias = Annotated[AsyncMessages, Depends(messages_of)]

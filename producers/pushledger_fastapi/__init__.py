"""pushledger for FastAPI: messages that live as long as the app, a dependency, and answers for what was refused.

@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with lifespan_messages(app):
        yield

app = FastAPI(lifespan=lifespan)
add_error_handlers(app)

@app.post("/orders/{number}/ship")
async def ship(number: str, messages: TheMessages) -> None:
    await messages.update(f"order:{number}", text="Shipped")
"""

from pushledger_fastapi.answers import add_error_handlers
from pushledger_fastapi.messages import TheMessages, lifespan_messages, messages_of

__all__ = ["TheMessages", "add_error_handlers", "lifespan_messages", "messages_of"]

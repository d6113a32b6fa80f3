"""pushledger for shops that use SQLAlchemy 2: jobs that go out after the commit, or with it, through an outbox."""

from pushledger_sqlalchemy.after_commit import AfterCommit, AsyncAfterCommit
from pushledger_sqlalchemy.outbox import OUTBOX, add, add_async, metadata
from pushledger_sqlalchemy.store import SqlAlchemyStore, open_outbox

__all__ = [
    "OUTBOX",
    "AfterCommit",
    "AsyncAfterCommit",
    "SqlAlchemyStore",
    "add",
    "add_async",
    "metadata",
    "open_outbox",
]

"""A shop with SQLAlchemy: an order's status and its message are committed together.

python shop.py receive 1042 visitor-77
python shop.py ship 1042
"""

from __future__ import annotations

import argparse
import os

from pushledger import Job, Update, Upsert
from pushledger_sqlalchemy import add, metadata
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

AGENT = "d9nKoegKSjmCtyK78"
engine = create_engine(os.environ.get("PUSHLEDGER_OUTBOX_URL", "sqlite:///shop.db"), hide_parameters=True)


class Base(DeclarativeBase):
    """The shop's own tables."""


class Order(Base):
    """An order; `version` counts its changes, so that an older message never replaces a newer one."""

    __tablename__ = "orders"

    number: Mapped[str] = mapped_column(primary_key=True)
    visitor_id: Mapped[str]
    status: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)


def receive(session: Session, number: str, visitor_id: str) -> Job:
    """Take an order."""
    session.add(Order(number=number, visitor_id=visitor_id, status="received"))
    text = f"We have received your order {number}."
    return Upsert(f"order:{number}", visitor_id, text, agent_id=AGENT, version=1)


def ship(session: Session, number: str) -> Job:
    """Send an order on its way."""
    order = session.get_one(Order, number, with_for_update=True)
    order.status, order.version = "shipped", order.version + 1
    return Update(f"order:{number}", f"Your order {number} is on its way.", version=order.version)


def main() -> None:
    """Do one thing, in one transaction."""
    parser = argparse.ArgumentParser(description="Receive and ship orders.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    received = verbs.add_parser("receive")
    received.add_argument("number")
    received.add_argument("visitor_id")
    verbs.add_parser("ship").add_argument("number")
    given = parser.parse_args()

    Base.metadata.create_all(engine)
    metadata.create_all(engine)  # the outbox; a real shop has a migration for it
    with Session(engine) as session, session.begin():
        if given.verb == "receive":
            job = receive(session, given.number, given.visitor_id)
        else:
            job = ship(session, given.number)
        add(session, job)


if __name__ == "__main__":
    main()

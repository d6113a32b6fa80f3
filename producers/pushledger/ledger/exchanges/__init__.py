"""Every exchange of the ledger: what is sent for each method, and how the replies are read."""

from __future__ import annotations

from pushledger.ledger.exchanges.audit import AuditExchanges
from pushledger.ledger.exchanges.deliveries import DeliveryExchanges
from pushledger.ledger.exchanges.errands import ErrandExchanges
from pushledger.ledger.exchanges.intake import IntakeExchanges
from pushledger.ledger.exchanges.jobs import Decided, Decision, DecisionResult, JobExchanges, Recorded, RecordResult
from pushledger.ledger.exchanges.listings import ListingExchanges
from pushledger.ledger.exchanges.map import MapExchanges
from pushledger.ledger.exchanges.of_account import SAFE_WITHIN
from pushledger.ledger.exchanges.pages import PageExchanges
from pushledger.ledger.exchanges.signals import SignalExchanges
from pushledger.ledger.exchanges.standing import StandingExchanges

__all__ = ["SAFE_WITHIN", "Decided", "Decision", "DecisionResult", "Exchanges", "RecordResult", "Recorded"]


class Exchanges(
    JobExchanges,
    DeliveryExchanges,
    ListingExchanges,
    PageExchanges,
    StandingExchanges,
    MapExchanges,
    IntakeExchanges,
    ErrandExchanges,
    AuditExchanges,
    SignalExchanges,
):
    """Builds the exchanges of one account; each noun has its module."""

    __slots__ = ()

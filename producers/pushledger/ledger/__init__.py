"""The ledger: the only room that touches Redis."""

from pushledger.ledger.account import Account, Heartbeat, Pause, waiting_for
from pushledger.ledger.accounts import Accounts, AsyncAccounts, Looked, Question
from pushledger.ledger.audit import NOBODY, AuditEntry, By
from pushledger.ledger.belief import Belief, Repairable
from pushledger.ledger.connection import NO_RETRIES
from pushledger.ledger.deliveries import (
    GENERAL_TIER,
    HIGHEST_SHARE,
    AccountPause,
    Budget,
    Claim,
    Claimed,
    Drawn,
    Heard,
    RateWindow,
    Settled,
    Settlement,
    SettlementKind,
)
from pushledger.ledger.exchanges import Decided, Recorded, RecordResult
from pushledger.ledger.history import SHOWN_WITHIN, Sample, shown_within
from pushledger.ledger.ledger import AsyncLedger, Ledger
from pushledger.ledger.pages import BulkAction, BulkStep, Filter, Found, Order, Page, Place, SearchBy, SearchPlace
from pushledger.ledger.policy import LedgerPolicy
from pushledger.ledger.rates import parse_rate
from pushledger.ledger.server import ServerFacts

__all__ = [
    "GENERAL_TIER",
    "HIGHEST_SHARE",
    "NOBODY",
    "NO_RETRIES",
    "SHOWN_WITHIN",
    "Account",
    "AccountPause",
    "Accounts",
    "AsyncAccounts",
    "AsyncLedger",
    "AuditEntry",
    "Belief",
    "Budget",
    "BulkAction",
    "BulkStep",
    "By",
    "Claim",
    "Claimed",
    "Decided",
    "Drawn",
    "Filter",
    "Found",
    "Heard",
    "Heartbeat",
    "Ledger",
    "LedgerPolicy",
    "Looked",
    "Order",
    "Page",
    "Pause",
    "Place",
    "Question",
    "RateWindow",
    "RecordResult",
    "Recorded",
    "Repairable",
    "Sample",
    "SearchBy",
    "SearchPlace",
    "ServerFacts",
    "Settled",
    "Settlement",
    "SettlementKind",
    "parse_rate",
    "shown_within",
    "waiting_for",
]

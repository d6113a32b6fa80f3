"""The ledger: the only room that touches Redis."""

from pushledger.ledger.account import Account, Pause, waiting_for
from pushledger.ledger.belief import Belief
from pushledger.ledger.deliveries import (
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
from pushledger.ledger.ledger import AsyncLedger, Ledger
from pushledger.ledger.policy import LedgerPolicy
from pushledger.ledger.rates import parse_rate

__all__ = [
    "Account",
    "AccountPause",
    "AsyncLedger",
    "Belief",
    "Budget",
    "Claim",
    "Claimed",
    "Decided",
    "Drawn",
    "Heard",
    "Ledger",
    "LedgerPolicy",
    "Pause",
    "RateWindow",
    "RecordResult",
    "Recorded",
    "Settled",
    "Settlement",
    "SettlementKind",
    "parse_rate",
    "waiting_for",
]

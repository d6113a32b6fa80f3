"""The ledger: the only room that touches Redis."""

from pushledger.ledger.deliveries import (
    AccountPause,
    Claim,
    Claimed,
    Heard,
    RateWindow,
    Settled,
    Settlement,
    SettlementKind,
)
from pushledger.ledger.exchanges import Recorded, RecordResult
from pushledger.ledger.ledger import AsyncLedger, Ledger
from pushledger.ledger.policy import LedgerPolicy

__all__ = [
    "AccountPause",
    "AsyncLedger",
    "Claim",
    "Claimed",
    "Heard",
    "Ledger",
    "LedgerPolicy",
    "RateWindow",
    "RecordResult",
    "Recorded",
    "Settled",
    "Settlement",
    "SettlementKind",
]

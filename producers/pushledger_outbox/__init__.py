"""A transactional outbox: jobs are committed with the shop's own data, and a relay hands them to the ledger."""

from pushledger_outbox.relay import Relay
from pushledger_outbox.rows import NewRow, Row, new_row
from pushledger_outbox.settings import OutboxSettings
from pushledger_outbox.store import Standing, Store, StoreUnavailable

__all__ = ["NewRow", "OutboxSettings", "Relay", "Row", "Standing", "Store", "StoreUnavailable", "new_row"]

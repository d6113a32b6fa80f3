"""Exchanges about the audit trail."""

from __future__ import annotations

from pushledger.ledger.audit import AuditEntry, audit_entry
from pushledger.ledger.exchange import Command, Exchange
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import items

__all__ = ["AuditExchanges"]


class AuditExchanges(AccountExchange):
    """Read what people did."""

    __slots__ = ()

    def audit(self, skip: int, limit: int) -> Exchange[list[AuditEntry]]:
        """Entries of the trail, newest first, after the ``skip`` newest."""
        command = Command(("LRANGE", self.keys.audit, skip, skip + limit - 1))
        return Exchange((command,), lambda replies: [audit_entry(str(line)) for line in items(replies[0])])

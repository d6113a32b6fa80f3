"""Exchanges that walk all records, or the whole map: what export, import and forgetting a visitor need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pushledger.ledger.exchange import Command, Exchange, Reply, ScriptCall
from pushledger.ledger.exchanges.of_account import AccountExchange
from pushledger.ledger.exchanges.replies import pairs

__all__ = ["MapExchanges"]


class MapExchanges(AccountExchange):
    """Walk records and map, page by page; put entries back."""

    __slots__ = ()

    def records_page(self, cursor: int) -> Exchange[tuple[int, list[str]]]:
        """Some of the ids that have a record, and where to go on; 0 when all were seen."""
        prefix = self.keys.message("")
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in prefix) + "*"
        command = Command(("SCAN", cursor, "MATCH", pattern, "COUNT", 500))

        def read(replies: Sequence[Reply]) -> tuple[int, list[str]]:
            following, keys = cast("tuple[str, list[str]]", replies[0])
            return int(following), [key.removeprefix(prefix) for key in keys]

        return Exchange((command,), read)

    def lanes(self, local_ids: Sequence[str]) -> Exchange[list[str]]:
        """The visitor's digest in each record; '' for none."""
        commands = tuple(Command(("HGET", self.keys.message(i), "lane")) for i in local_ids)
        return Exchange(commands, lambda replies: [str(reply or "") for reply in replies])

    def entries_page(self, cursor: int) -> Exchange[tuple[int, dict[str, str]]]:
        """Some entries of the map, and where to go on; 0 when all were seen. Workers may go on meanwhile."""
        command = Command(("HSCAN", self.keys.map, cursor, "COUNT", 500))

        def read(replies: Sequence[Reply]) -> tuple[int, dict[str, str]]:
            following, flat = cast("tuple[str, Reply]", replies[0])
            return int(following), pairs(flat)

        return Exchange((command,), read)

    def restore(self, entries: Sequence[tuple[str, str]]) -> Exchange[list[bool]]:
        """Put exported entries back into the map; False for those that the ledger knows already."""
        calls = tuple(ScriptCall(self.script("restore"), self.keys.prefix, entry) for entry in entries)
        return Exchange(calls, lambda replies: [bool(reply) for reply in replies])

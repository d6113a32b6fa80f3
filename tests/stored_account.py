"""An account as a version leaves it behind in Redis: one message in each state, written by the real scripts.

``python tests/stored_account.py > tests/stored/format-1.json`` writes it anew. A file is never changed once its version
is released: later versions must read what is in it.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis
from account import START, Account, create
from pushledger.jobs import Delete, Update
from pushledger.ledger import LedgerPolicy, RateWindow
from pushledger.targets import Agent
from pushledger_worker.embedded import embedded_valkey

NAME = "stored"
WINDOW = RateWindow(100, timedelta(hours=1))


def open_account(client: redis.Redis) -> Account:
    """The account, at the moment at which it was left behind."""
    return Account(client, NAME, WINDOW, retention=timedelta(hours=1))


def bring_about(client: redis.Redis) -> Account:
    """One message in each state, an agent that is kept online, and a call in the air."""
    ledger = open_account(client)
    keeping, ledger.policy = ledger.policy, LedgerPolicy()
    ledger.deliver("m-shrunk", "shrunk")
    ledger.policy = keeping
    soon = datetime.fromtimestamp(START / 1000 + 10, UTC)
    ledger.run(ledger.exchanges.digest_key("00" * 16))
    ledger.deliver("m-kept", "kept")
    for reason, outcome in (("refused", "refused"), ("held", "unknown")):
        ledger.record(create(reason, max_resends=0))
        ledger.settle(ledger.claim_one(), outcome)
    ledger.record(create("unwanted", max_resends=0))
    ledger.settle(ledger.claim_one(), "unknown")
    ledger.record(Delete("unwanted"))
    ledger.record(create("resent"))
    ledger.settle(ledger.claim_one(), "unknown")
    ledger.pass_time(timedelta(seconds=30))
    ledger.settle(ledger.claim_one(), "confirmed", "m-resent", status=200)
    ledger.record(create("deleted", version=7))
    ledger.record(Delete("deleted", version=8))
    ledger.record(create("expired", expires_at=soon + timedelta(seconds=30)))
    ledger.pass_time(timedelta(seconds=30))
    ledger.claim()
    ledger.deliver("m-gone", "gone")
    ledger.record(Update("gone", "B"))
    ledger.settle(ledger.claim_one(), "gone", status=404)
    ledger.record(create("sending", "on its way"))
    ledger.claim_one()
    ledger.record(create("retrying"))
    ledger.settle(ledger.claim_one(), "unsent", retry_in=timedelta(minutes=5))
    ledger.deliver("m-edited", "edited")
    ledger.record(Update("edited", "B"))
    ledger.record(create("first of a lane", visitor="v"))
    ledger.record(create("second of a lane", visitor="v", kind="agent"))
    ledger.run(ledger.exchanges.keep_online(Agent("a-liz"), None, timedelta(hours=8)))
    return ledger


def dump(client: redis.Redis, ledger: Account) -> list[dict[str, Any]]:
    """Every key of the account with what it holds, and how long it still lives."""
    return [
        {"key": key, "holds": holds, "type": client.type(key), "expires_in_ms": max(client.pttl(key), 0)}
        for key, holds in ledger.snapshot().items()
    ]


def load(client: redis.Redis, file: Path) -> Account:
    """Put a file's keys into a server; times of expiry are left out, as the clock of the file stands still."""
    document = json.loads(file.read_text(encoding="utf-8"))
    for key in document["keys"]:
        name, holds = key["key"], key["holds"]
        match key["type"]:
            case "hash":
                client.hset(name, mapping=holds)
            case "zset":
                client.zadd(name, dict(holds))
            case "list":
                client.rpush(name, *holds)
            case _:
                client.set(name, holds)
        if key["expires_in_ms"]:
            client.pexpire(name, key["expires_in_ms"])
    ledger = open_account(client)
    ledger.now = document["now"]
    ledger.numbers = itertools.count(1000)  # names of jobs and claims that the file has none of
    return ledger


def main() -> None:
    """Write the account of this version to stdout."""
    with tempfile.TemporaryDirectory() as folder, embedded_valkey(Path(folder)) as url:
        client = redis.Redis.from_url(url, decode_responses=True)
        ledger = bring_about(client)
        document = {"now": ledger.now, "keys": dump(client, ledger)}
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

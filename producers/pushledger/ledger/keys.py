"""The names of all Redis keys of one account. ``lua/store.lua`` builds the same names and says what each holds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ACCOUNTS", "PRIORITIES", "Keys"]

# Set of the accounts that ever had a job or a worker: the one key that belongs to no account.
ACCOUNTS = "pushledger:accounts"

PRIORITIES = ("high", "normal", "low")


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one account; the braces put them all into one cluster slot."""

    account: str

    @property
    def prefix(self) -> str:
        """What all keys begin with; the one key that is handed to every script."""
        return f"pushledger:{{{self.account}}}:"

    @property
    def map(self) -> str:
        """Hash of delivered entries: local id to message id and digests."""
        return f"{self.prefix}map"

    @property
    def leases(self) -> str:
        """Sorted set of messages in the air by the end of their lease."""
        return f"{self.prefix}leases"

    @property
    def pause(self) -> str:
        """Hash of the account's pause."""
        return f"{self.prefix}pause"

    @property
    def wake(self) -> str:
        """Stands while a wake-up is under way."""
        return f"{self.prefix}wake"

    @property
    def stats(self) -> str:
        """Hash of counters."""
        return f"{self.prefix}stats"

    @property
    def digest_key(self) -> str:
        """The secret of the account's keyed digests."""
        return f"{self.prefix}digest_key"

    @property
    def refused(self) -> str:
        """List of jobs that the intake had to refuse, newest first."""
        return f"{self.prefix}refused"

    @property
    def parked(self) -> str:
        """Hash of intake jobs that wait for their create, by task id."""
        return f"{self.prefix}parked"

    @property
    def agents(self) -> str:
        """Hash of the agents that are kept online."""
        return f"{self.prefix}agents"

    @property
    def presence(self) -> str:
        """Sorted set of agents by the time of their next ping."""
        return f"{self.prefix}presence"

    @property
    def audit(self) -> str:
        """List of what people did, newest first."""
        return f"{self.prefix}audit"

    @property
    def history(self) -> str:
        """List of samples of the counters, one a minute, oldest first."""
        return f"{self.prefix}history"

    @property
    def heartbeat(self) -> str:
        """When a delivery last began, in milliseconds."""
        return f"{self.prefix}heartbeat"

    @property
    def rate(self) -> str:
        """The budget that the worker keeps to which last began a delivery."""
        return f"{self.prefix}rate"

    @property
    def signals(self) -> str:
        """Sorted set of what the people on duty shall be told, by when a worker may take it."""
        return f"{self.prefix}signals"

    def message(self, local_id: str) -> str:
        """Hash of one message's record."""
        return f"{self.prefix}message:{local_id}"

    def timeline(self, local_id: str) -> str:
        """List of one message's timeline."""
        return f"{self.prefix}timeline:{local_id}"

    def due(self, priority: str) -> str:
        """Sorted set of waiting messages by the time they may be tried."""
        return f"{self.prefix}due:{priority}"

    def state(self, state: str) -> str:
        """Sorted set of messages by the time they came to a state."""
        return f"{self.prefix}state:{state}"

"""What can go wrong when a shop enqueues a message.

PushledgerError
├── SettingsError        a setting is missing or malformed
├── InvalidJob           the job itself is wrong, whatever the ledger holds
├── RefusedJob           the job is well formed, but does not fit what the ledger holds
│   ├── UnknownLocalId       update or delete of a message that is not there
│   ├── AlreadyExists        create with other content on a live local id
│   ├── TargetChanged        update or upsert with another visitor, kind, agent or group
│   ├── OutcomeUnknown       create with another target while it is unknown whether the old one was shown
│   ├── Gone                 update or retry of a message that the API no longer has
│   └── BacklogFull          too many messages wait already
├── RefusedDecision      a person's decision does not fit the message's state
└── LedgerUnavailable    Redis did not answer: the job may or may not be recorded
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyExists",
    "BacklogFull",
    "Gone",
    "InvalidJob",
    "LedgerUnavailable",
    "OutcomeUnknown",
    "PushledgerError",
    "RefusedDecision",
    "RefusedJob",
    "SettingsError",
    "TargetChanged",
    "UnknownLocalId",
]


class PushledgerError(Exception):
    """Base of every error that pushledger raises on purpose."""


class SettingsError(PushledgerError):
    """A setting is missing or malformed; the message names it, the rule and the way out."""


class LedgerUnavailable(PushledgerError):
    """Redis did not answer in time or refused.

    A job may have been recorded nevertheless; repeating it with the same ``job_id`` is safe.
    """


class InvalidJob(PushledgerError, ValueError):
    """A job breaks a rule of its own; ``field`` names the argument and ``rule`` says what it must be."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    def __reduce__(self) -> tuple[type[InvalidJob], tuple[str, str]]:
        return type(self), (self.field, self.rule)


class RefusedJob(PushledgerError):
    """A well-formed job does not fit what the ledger holds; nothing was changed."""

    field = "local_id"
    rule = "the job does not fit the message"

    def __init__(self, local_id: str) -> None:
        super().__init__(f"{self.field}: {self.rule} ({local_id!r})")
        self.local_id = local_id

    def __reduce__(self) -> tuple[type[RefusedJob], tuple[str]]:
        return type(self), (self.local_id,)


class UnknownLocalId(RefusedJob):
    """An update or delete names a message that was never created, or is deleted."""

    rule = "no live message has this id; create or upsert it first"


class AlreadyExists(RefusedJob):
    """A create with other content names a live message."""

    rule = "a live message with other content has this id; use update or upsert"


class TargetChanged(RefusedJob):
    """An update or upsert names another visitor, kind, agent or group than the message was created with."""

    field = "visitor_id"
    rule = "visitor, kind, agent and group are fixed while a message lives; delete it and create it anew"


class OutcomeUnknown(RefusedJob):
    """A create with another target came while it is not known whether the old message was shown."""

    field = "visitor_id"
    rule = "it is not known yet whether the earlier message was shown; wait for its outcome or resolve it"


class Gone(RefusedJob):
    """An update names a message that the API no longer has."""

    rule = "the API no longer has this message; create or upsert it to start anew"


class BacklogFull(RefusedJob):
    """A job would make one more message wait, when MAX_BACKLOG wait already."""

    field = "account"
    rule = "its backlog is full (PUSHLEDGER_MAX_BACKLOG); repeat the job later, or raise the limit"


class RefusedDecision(PushledgerError):
    """A retry, resend, resolve, discard or repair does not fit the state of the message; nothing was changed."""

    _RULES: ClassVar[dict[str, str]] = {
        "not_failed": "only a failed or expired message can be retried",
        "not_held": "only a held message can be resent or resolved",
        "nothing_to_send": "the message shall be gone, so there is nothing to send; resolve or discard it",
        "not_at_rest": "only a failed, expired or held message can be discarded",
        "changed": "the message has changed since it was read; verify it again",
        "not_delivered": "only a delivered message can be repaired; retry, resend, resolve or discard it",
    }

    def __init__(self, local_id: str, decision: str, reason: str) -> None:
        super().__init__(f"{decision}: {self._RULES.get(reason, reason)} ({local_id!r})")
        self.local_id = local_id
        self.decision = decision
        self.reason = reason

    def __reduce__(self) -> tuple[type[RefusedDecision], tuple[str, str, str]]:
        return type(self), (self.local_id, self.decision, self.reason)

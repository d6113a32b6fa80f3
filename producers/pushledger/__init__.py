"""Keep automated chat messages in step with a shop's orders, through a slow, rate-limited remote API."""

from pushledger.errors import (
    AlreadyExists,
    Gone,
    InvalidJob,
    LedgerUnavailable,
    OutcomeUnknown,
    PushledgerError,
    RefusedJob,
    SettingsError,
    TargetChanged,
    UnknownLocalId,
)
from pushledger.jobs import Create, Delete, Job, Update, Upsert
from pushledger.message import LastError, Message, Receipt, TimelineEvent
from pushledger.messages import AsyncMessages, Messages
from pushledger.presence import Presence
from pushledger.settings import Settings
from pushledger.targets import Agent

__all__ = [
    "Agent",
    "AlreadyExists",
    "AsyncMessages",
    "Create",
    "Delete",
    "Gone",
    "InvalidJob",
    "Job",
    "LastError",
    "LedgerUnavailable",
    "Message",
    "Messages",
    "OutcomeUnknown",
    "Presence",
    "PushledgerError",
    "Receipt",
    "RefusedJob",
    "Settings",
    "SettingsError",
    "TargetChanged",
    "TimelineEvent",
    "UnknownLocalId",
    "Update",
    "Upsert",
]

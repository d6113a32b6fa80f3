"""What a broker said for good: whoever tries again hears it again."""

from __future__ import annotations

__all__ = ["refusal"]

# Of exceptions only the text tells servers apart: kombu wraps them, and imports a transport only where it is used.
_REFUSALS = (
    ("DB index is out of range", "its server has no such logical database; give one that it has, or another server"),
    ("ACCESS_REFUSED - Login was refused", "the broker refuses this user or password; give those that it knows"),
    (
        "ACCESS_REFUSED",
        "its user may not do what a worker needs; docs/brokers.md lists the rights",
    ),
    ("NOT_ALLOWED", "the broker lets this user not into that virtual host; make it, or give another one"),
    (
        "PRECONDITION_FAILED",
        "a queue is there with other arguments; let it run empty and delete it, and the worker makes it anew",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the broker's certificate is not one that ssl_ca_certs vouches for under that name; see docs/brokers.md",
    ),
)


def refusal(error: BaseException) -> str | None:
    """What to do about an error that would come again; None for one that may pass."""
    said = str(error)
    return next((remedy for sign, remedy in _REFUSALS if sign in said), None)

"""What goes out for a message, by what the ledger holds of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pushledger.ledger import Claimed
from pushledger_worker.plan import Call, Edit, Remove, Send, plan

NOTHING_KNOWN = Claimed(
    local_id="order:1042",
    token="c.1",
    kind="pushed",
    wish="show",
    text="Shipped",
    text_digest="digest-of-shipped",
    target='{"agentId":"a","visitorId":"v"}',
    message_id="",
    shown_digest="",
    doomed=(),
    revision=3,
    attempts=0,
    failing_for=timedelta(0),
    waiting_for=timedelta(0),
)
SHOWN = replace(NOTHING_KNOWN, message_id="AXC", shown_digest="digest-of-shipped")
SEND = Send("pushed", '{"agentId":"a","visitorId":"v"}', "Shipped")
EDIT = Edit("pushed", "AXC", "Shipped")


@pytest.mark.parametrize(
    ("claimed", "call"),
    [
        # No id is known: the message is sent, to its target.
        (NOTHING_KNOWN, SEND),
        # The remote text is another one: the message is edited in place.
        (replace(SHOWN, shown_digest="digest-of-received"), EDIT),
        # The remote text is not known (R3): the message is edited, whatever it may show.
        (replace(SHOWN, shown_digest=""), EDIT),
        # The remote text is the wish: no call that is not needed (promise 3).
        (SHOWN, None),
        # It shall go and is there: it is removed, whatever it shows.
        (replace(SHOWN, wish="gone"), Remove("pushed", "AXC")),
        (replace(SHOWN, wish="gone", shown_digest=""), Remove("pushed", "AXC")),
        # It shall go and was never there: no call.
        (replace(NOTHING_KNOWN, wish="gone"), None),
        # Copies that must not be there go first (R2, R5, R8), one a call, whatever the wish.
        (replace(NOTHING_KNOWN, doomed=(("pushed", "OLD"),)), Remove("pushed", "OLD")),
        (replace(SHOWN, doomed=(("pushed", "OLD"),)), Remove("pushed", "OLD")),
        (replace(SHOWN, wish="gone", doomed=(("pushed", "OLD"), ("pushed", "OLDER"))), Remove("pushed", "OLD")),
        # Each call goes to the collection of its own kind: a doomed copy may be of another one.
        (replace(NOTHING_KNOWN, kind="agent"), replace(SEND, kind="agent")),
        (replace(SHOWN, kind="agent", shown_digest=""), replace(EDIT, kind="agent")),
        (replace(SHOWN, kind="agent", wish="gone"), Remove("agent", "AXC")),
        (replace(SHOWN, doomed=(("agent", "OLD"),)), Remove("agent", "OLD")),
    ],
)
def test_the_next_call_closes_the_gap(claimed: Claimed, call: Call | None) -> None:
    assert plan(claimed) == call


def test_the_call_does_not_depend_on_how_often_it_was_tried() -> None:
    """Attempts and times decide when a call goes out, never which."""
    tried = replace(NOTHING_KNOWN, attempts=9, failing_for=timedelta(days=2), waiting_for=timedelta(days=3), revision=8)
    assert plan(tried) == plan(NOTHING_KNOWN)

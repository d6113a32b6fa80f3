"""The fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pushledger_testing.stage import Shop

__all__ = ["pushledger_shop", "pushledger_shop_with"]


@pytest.fixture
def pushledger_shop_with() -> Iterator[Callable[..., Shop]]:
    """Makes a shop with other settings: ``pushledger_shop_with(rate="2/minute", max_resends=0)``."""
    with ExitStack() as stack:

        def made(**settings: Any) -> Shop:
            shop = Shop(**settings)
            stack.callback(shop.close)
            return shop

        yield made


@pytest.fixture
def pushledger_shop(pushledger_shop_with: Callable[..., Shop]) -> Shop:
    """A ledger in memory, the sandbox as the API, and a clock: a shop's messages without a server or a process."""
    return pushledger_shop_with()

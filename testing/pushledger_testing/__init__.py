"""Tests of shops: load the fixtures with ``pytest_plugins = ["pushledger_testing"]``, then ask for ``pushledger_shop``.

No entry point names this module: it is installed beside what a shop runs, and must not load itself into test runs that
did not ask for it.
"""

from pushledger_testing.fixtures import pushledger_shop, pushledger_shop_with
from pushledger_testing.stage import Shop

__all__ = ["Shop", "pushledger_shop", "pushledger_shop_with"]

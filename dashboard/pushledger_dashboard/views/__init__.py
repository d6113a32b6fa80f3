"""What templates show: plain values made from what the ledger says, by pure functions, a module a page."""

"""The dashboard: a JSON API, metrics and health over the ledger, and the frame for pages."""

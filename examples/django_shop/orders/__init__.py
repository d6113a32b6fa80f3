"""Orders, and what their visitors are told."""

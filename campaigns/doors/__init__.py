"""Doors: every route with the largest input that it accepts, and what that costs (docs/security.md)."""

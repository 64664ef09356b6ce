"""Billers without an adapter of their own: a mapping says what stands where in their webhooks
(docs/write-an-adapter.md)."""

"""Billers without an adapter of their own: a mapping says where their webhooks say what (docs/write-an-adapter.md)."""

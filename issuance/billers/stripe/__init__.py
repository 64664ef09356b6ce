"""Stripe: its webhooks, and its API (docs/stripe.md has what it says → which fact)."""

"""Webhooks, against real servers and a real receiver."""

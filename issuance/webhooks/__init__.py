"""Webhooks: what a brand's own servers are told, from the outbox to the receiver.

    outbox → deliveries (claimed) → dispatcher: client (addresses, signatures) → deliveries (recorded)

This room gives the webhooks of a brand (`webhooks`), the outbox that other rooms write events to (`outbox`), and the
work of a worker (`dispatcher`). Each event reaches each webhook at least once, signed, and only at public addresses.
Every event has one delivery for each webhook; PostgreSQL has the attempts and their times.
"""

"""From the outbox to the brands' own servers: at least once, signed, to public addresses only.

    outbox → deliveries (claimed) → rounds: addresses, signatures, sending → deliveries (recorded)

Each event reaches each webhook by a delivery of its own, whose attempts and times stand in PostgreSQL.
"""

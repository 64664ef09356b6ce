"""From facts in PostgreSQL to credits in PostgreSQL: load, walk, write; one transaction a batch.

    due → runs → batches → loading → walking (deciding) → writing → telling (the outbox)
                 └──▶ alike: one of a shape is loaded and walked, its effects are written for all of it

Settling is idempotent and convergent, so the clock, an event, a manual issue, a replay, a retry and the
reconciler all ask for the same thing.
"""

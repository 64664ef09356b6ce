"""From facts in PostgreSQL to credits in PostgreSQL, the same way for one membership and for a million.

    batches (runs) ─┐
                    ├─▶ pipeline: schedules → groups → facts → outcomes (deciding) → writer → schedules
    arrivals ───────┘

`pipeline` settles memberships. `batches` calls it for the clock and for operators' runs, `arrivals` for events.
"""

"""From facts in PostgreSQL to credits in PostgreSQL, the same way for one membership and for a million.

    batches (runs) ─┐
                    ├─▶ pipeline: schedules → groups → facts → outcomes (deciding) → writer → schedules
    arrivals ───────┘

`pipeline` is the way itself; `batches` is the entrance of the clock and of people, `arrivals` that of events.
"""

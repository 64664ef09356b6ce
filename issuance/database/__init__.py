"""PostgreSQL: how the process reaches it, and the tables that it holds.

The face gives what every unit of work needs: an engine for each process (`engine_for`, `looks_for`, and `aside` beside
the first), a transaction for each unit of work (`transaction`; `transaction_beside` one that is open,
`transaction_aside` of all; `undone` for what is only tried; `look` across all brands; `show`), how many connections the
process may have (`budget`, `allow`), and whether PostgreSQL is away (`outage`, `is_away`), is `full`, or has stopped
what took long (`is_cut_short`). Beside it: `tables` (schema.sql as SQLAlchemy Core sees it), `schema` (make, compare
and upgrade the tables), `revisions` (which version's tables they are), `paging` and `cursors` (the two kinds of lists),
`fragments` (what statements of several rooms have in common), and `complaints` (what an error says to people outside).
"""

from issuance.database.connections import (
    Acting,
    aside,
    check_schema,
    engine_for,
    look,
    looks_for,
    show,
    transaction,
    transaction_aside,
    transaction_beside,
    undone,
)
from issuance.database.outages import full, is_away, is_cut_short, outage
from issuance.database.pools import allow, budget

__all__ = [
    "Acting",
    "allow",
    "aside",
    "budget",
    "check_schema",
    "engine_for",
    "full",
    "is_away",
    "is_cut_short",
    "look",
    "looks_for",
    "outage",
    "show",
    "transaction",
    "transaction_aside",
    "transaction_beside",
    "undone",
]

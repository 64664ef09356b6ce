"""Who did it: an append-only entry for each change that somebody asked for, in its transaction (SEMANTICS 16).

A unit of work names its actor when it begins (`actors`); PostgreSQL stamps it on the entry (`entries.write`), and on
rule versions, runs, ledger entries and credits that a person revoked. So a function needs no word of who asked for it.
The entries lie in parts by the month, the old ones of which a person may detach (`detaching`).
"""

from issuance.audit.actors import SYSTEM, Actor
from issuance.audit.entries import ACTIONS, Action, changed, each, page, part, write, writing

__all__ = ["ACTIONS", "SYSTEM", "Action", "Actor", "changed", "each", "page", "part", "write", "writing"]

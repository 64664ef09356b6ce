"""The laws of SEMANTICS 14 as checks on a live database, one file a law.

A law names itself, says its sentence, and finds its offenders: rows with enough in them to act on. Checks only read; a
law that holds finds nothing. Some laws ask PostgreSQL, others judge what settling a membership once more would do
(paper.py), which is done once for all of them and once for all memberships of one kind (kinds.py).
"""

from issuance.laws import apart, audited, once, ordered, owed, period_over, released, replayed, settled, spent, wallets
from issuance.laws.law import MOST_OFFENDERS, Law, Offender, look, steps

LAWS: tuple[Law, ...] = (
    once.LAW,
    owed.LAW,
    released.LAW,
    period_over.LAW,
    spent.LAW,
    wallets.LAW,
    replayed.LAW,
    ordered.LAW,
    settled.LAW,
    apart.LAW,
    audited.LAW,
)

__all__ = ["LAWS", "MOST_OFFENDERS", "Law", "Offender", "look", "steps"]

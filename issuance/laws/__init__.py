"""The laws of SEMANTICS 14 as checks on a live database, one file a law.

A law names itself, says its sentence, and finds its offenders: rows with enough in them to act on.
Checks only read; a law that holds finds nothing.
"""

from issuance.laws import apart, once, owed, period_over, released, settled, spent, wallets
from issuance.laws.law import MOST_OFFENDERS, Law

LAWS: tuple[Law, ...] = (
    once.LAW,
    owed.LAW,
    released.LAW,
    period_over.LAW,
    spent.LAW,
    wallets.LAW,
    settled.LAW,
    apart.LAW,
)

__all__ = ["LAWS", "MOST_OFFENDERS", "Law"]

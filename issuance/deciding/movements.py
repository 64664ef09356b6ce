"""Movements: what becomes of credits, as a liability adds it up (INTERFACE 5).

A credit's own columns say when it was issued and how it ended. A change that overwrites them
would alter months that were already reported. It is journaled, with an offsetting entry.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from issuance.deciding.facts import Credit

EndKind = Literal["redeemed", "expired", "revoked"]
MovementKind = Literal["redeemed", "expired", "revoked", "restored"]


class End(NamedTuple):
    """How a credit ended, and when: what its columns say. An expiry counts at `expires_at`, swept or not."""

    kind: EndKind
    at: datetime


class Movement(NamedTuple):
    """What happened to `number` credits at an instant of the brand's clock. Negative: it corrects what the columns say
    for that instant."""

    kind: MovementKind
    at: datetime
    number: int


def end_of(credit: Credit, at: datetime) -> End | None:
    """How a credit has ended by an instant, or None if it has not; it need not be valid yet."""
    if credit.redeemed_at is not None:
        return End("redeemed", credit.redeemed_at)
    if credit.revoked_at is not None:
        return End("revoked", credit.revoked_at)
    if credit.expires_at is not None and (credit.expired_at is not None or credit.expires_at <= at):
        return End("expired", credit.expires_at)
    return None


def movements(before: End | None, after: End | None, at: datetime) -> Iterator[Movement]:
    """What has to be journaled where a change at an instant turns one end of a credit into another.

    A credit that had ended is restored at `at`, then ends again. Offsets cancel `before`, and what the columns say from
    now on.
    """
    entries: Counter[tuple[MovementKind, datetime]] = Counter()
    if (before and before.kind) != (after and after.kind):
        if before is not None:
            entries["restored", at] += 1
        if after is not None:
            entries[after.kind, at] += 1
    if before is not None:
        entries[before.kind, before.at] += 1
    if after is not None:
        entries[after.kind, after.at] -= 1
    return (Movement(kind, when, number) for (kind, when), number in entries.items() if number)

"""How many credits will a rule issue? The decisions themselves, asked about days ahead (INTERFACE 5)."""

from collections import Counter
from collections.abc import Hashable, Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.deciding.calendar import add_months, day_of
from issuance.deciding.decisions import decide
from issuance.deciding.reasons import Reason
from issuance.engine.facts import Membership, load
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.rules import RuleBook
from issuance.tenancy import clock as clocks

_BATCH = 1000
#: Issued, about to be, or once its day has come and its charge is initiated.
_COUNTS = frozenset({Reason.ISSUED, Reason.ALREADY_ISSUED, Reason.NOT_DUE_YET})

_OF_RULE = text("""
    SELECT m.membership_id
      FROM memberships m
     WHERE m.brand_id = :brand_id AND m.membership_id > :after
       AND m.membership_type_id IN (
           SELECT v.membership_type_id FROM rule_versions v
            WHERE v.brand_id = :brand_id AND v.credit_rule_id = :credit_rule_id)
     ORDER BY m.membership_id
     LIMIT :batch
""")


def forecast(connection: Connection, brand_id: UUID, credit_rule_id: UUID, months: int) -> list[dict[str, Any]]:
    """Credits by the month in which their occurrence starts, for `months` months from the brand's present one on.

    As things stand: the memberships and rule versions of today, every charge ahead initiated on its day, and
    whoever is paused or has ended staying so.
    """
    clock = clocks.read(connection, brand_id)
    first = day_of(clock.now, clock.zone).replace(day=1)
    last = add_months(first, months) - timedelta(days=1)
    total: Counter[str] = Counter()
    known: dict[Hashable, Counter[str]] = {}
    rules = RuleBook(connection, brand_id)
    fingerprints = Fingerprints(rules, clock)
    for memberships in _memberships(connection, brand_id, credit_rule_id, clock):
        for member in memberships:
            whole = fingerprints.whole(member)
            counts = known.get(whole)
            if whole is None or counts is None:
                of_type = rules[member.facts.membership_type_id]
                of_rule = [rule for rule in of_type if rule.credit_rule_id == credit_rule_id]
                decisions = decide(member.history(clock.now), of_rule, last)
                days = [decision.occurrence.day for decision in decisions if decision.reason in _COUNTS]
                counts = known[whole] = Counter(_month(day) for day in days if day >= first)
            total += counts
    names = [_month(add_months(first, number)) for number in range(months)]
    return [{"month": name, "credits": total[name]} for name in names]


def _memberships(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, clock: clocks.BrandClock
) -> Iterator[list[Membership]]:
    after = UUID(int=0)
    while True:
        which = {"brand_id": brand_id, "credit_rule_id": credit_rule_id, "after": after, "batch": _BATCH}
        ids = list(connection.scalars(_OF_RULE, which))
        if not ids:
            return
        after = ids[-1]
        yield load(connection, brand_id, clock.zone, ids)


def _month(day: date) -> str:
    return f"{day.year:04}-{day.month:02}"

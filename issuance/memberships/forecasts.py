"""How many credits will a rule issue? The decisions themselves, asked about days ahead (INTERFACE 5)."""

from collections import Counter
from collections.abc import Hashable, Iterator
from datetime import date, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits
from issuance.deciding.calendar import add_months, day_of
from issuance.deciding.forecast import forecast as given_ahead
from issuance.deciding.forecast import size
from issuance.engine.event_facts import CHANGED_TYPES
from issuance.engine.facts import loaded
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.membership import Membership
from issuance.engine.rules import RuleBook
from issuance.errors import Invalid
from issuance.tenancy import clock as clocks

_BATCH = 1000
#: Seconds that a bounded forecast may take.
MOST_SECONDS = 20.0


class TooMuchToForecast(Invalid):
    """This is too much at once: ask for fewer months, or use the command line, which has no limit."""

    code = "too_much_to_forecast"


# The memberships that have one of its types now, had one, or will have one.
_OF_RULE = text(f"""
    WITH types AS MATERIALIZED (
        SELECT v.membership_type_id FROM rule_versions v
         WHERE v.brand_id = :brand_id AND v.credit_rule_id = :credit_rule_id)
    SELECT m.membership_id
      FROM memberships m
     WHERE m.brand_id = :brand_id AND m.membership_id > :after
       AND (m.membership_type_id IN (SELECT membership_type_id FROM types)
            OR m.membership_id IN ({CHANGED_TYPES}))
     ORDER BY m.membership_id
     LIMIT :batch
""")


def forecast(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, months: int, *, bounded: bool = False
) -> list[dict[str, Any]]:
    """Credits by the month in which their occurrence starts, for `months` months from the brand's present one on. A P0D
    credit counts in the month of the billing period that it rides on.

    This is what happens (SEMANTICS 14, law 12) if every charge ahead comes on its day, what is announced happens, rules
    stay as they are, and memberships that are paused or need attention stay so. `bounded`: raises TooMuchToForecast.
    """
    ends = monotonic() + MOST_SECONDS
    clock = clocks.read(connection, brand_id)
    first = day_of(clock.now, clock.zone).replace(day=1)
    last = add_months(first, months) - timedelta(days=1)
    total: Counter[str] = Counter()
    known: dict[Hashable, Counter[str]] = {}
    rules = RuleBook(connection, brand_id, clock.zone)
    fingerprints = Fingerprints(rules, clock)
    for memberships in _memberships(connection, brand_id, credit_rule_id, clock):
        for membership in memberships:
            whole = fingerprints.whole(membership)
            counts = known.get(whole)
            if whole is None or counts is None:
                of_types = rules.of(membership.facts.types)
                of_one = size(membership.facts, len(membership.guest_ids), len(of_types), clock.now, last)
                if bounded and (monotonic() > ends or of_one > limits.current.settling.foretold):
                    raise TooMuchToForecast
                ahead = given_ahead(
                    membership.facts, membership.credits, of_types, clock.now, last, only=credit_rule_id
                )
                counts = known[whole] = Counter(month_of(one.day) for one in ahead if one.day >= first)
            total += counts
    names = [month_of(add_months(first, number)) for number in range(months)]
    return [{"month": name, "credits": total[name]} for name in names]


def _memberships(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, clock: clocks.BrandClock
) -> Iterator[list[Membership]]:
    after = UUID(int=0)
    while True:
        parameters = {"brand_id": brand_id, "credit_rule_id": credit_rule_id, "after": after, "batch": _BATCH}
        ids = list(connection.scalars(_OF_RULE, parameters))
        if not ids:
            return
        after = ids[-1]
        yield from loaded(connection, brand_id, clock.zone, ids)


def month_of(day: date) -> str:
    """A date's month, as `2031-04`."""
    return f"{day.year:04}-{day.month:02}"

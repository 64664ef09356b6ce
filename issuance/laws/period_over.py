"""Law 4: no roll_over=false credit is live at or after the end of its period, unless a person extended it."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.credits.credits import STILL_OUT
from issuance.deciding.calendar import midnight
from issuance.laws.law import MOST_OFFENDERS, Law, Offender
from issuance.tenancy import clock

PERIOD_ENDS = text("""
    SELECT DISTINCT period_end
      FROM credits
     WHERE brand_id = :brand_id AND NOT roll_over AND period_end IS NOT NULL
""")

# A moved billing date moves the end of the period too, but never before the move takes effect.
OUTLIVES_ITS_PERIOD = text(f"""
    SELECT credit.credit_id, credit.membership_id, credit.guest_id, credit.credit_rule_id,
           credit.period_start, credit.period_end, credit.expires_at
      FROM credits AS credit
      LEFT JOIN unnest(CAST(:days AS date[]), CAST(:midnights AS timestamptz[])) AS ending (day, instant)
        ON ending.day = credit.period_end
     WHERE credit.brand_id = :brand_id AND NOT credit.roll_over
       AND {STILL_OUT} AND credit.extended_to IS NULL
       AND (credit.expires_at IS NULL OR credit.expires_at > ending.instant)
       AND NOT EXISTS (
               SELECT FROM billing_events AS moved
                WHERE moved.brand_id = credit.brand_id AND moved.membership_id = credit.membership_id
                  AND moved.type = 'membership.billing_date_moved' AND moved.time >= credit.expires_at)
     LIMIT :most
""")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Credits whose expiry lies past the midnight at which their period ends in the brand's zone."""
    zone = clock.read(connection, brand_id).zone
    # PostgreSQL takes the second of two midnights where clocks go back over it; SEMANTICS 2 the first.
    days = list(connection.execute(PERIOD_ENDS, {"brand_id": brand_id}).scalars())
    midnights = [midnight(day, zone) for day in days]
    arguments = {"brand_id": brand_id, "days": days, "midnights": midnights, "most": MOST_OFFENDERS}
    yield [dict(row) for row in connection.execute(OUTLIVES_ITS_PERIOD, arguments).mappings()]


LAW = Law(
    4, "period over", "No roll_over=false credit is live at or after the end of its period, unless extended.", ask
)

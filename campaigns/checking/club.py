"""A large brand made quickly: a few memberships are settled by the product, month by month, and then copied by SQL.

Copies are as unlike each other as those of a live brand: they signed up, and were settled, at moments of their own,
and every third credit has been used by somebody.
"""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from issuance.billing import events
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.deciding.calendar import add_months
from issuance.engine import arrivals, pipeline
from issuance.tenancy import brands

FIRST_DAY = date(2031, 1, 1)
#: Credits a rule and membership; there is none on joining.
PERIODS = 12
#: One membership starts on each of these days of January.
DAYS = 28
RULES = (
    {"coupon_id": "spa", "coupon_name": "Spa credit"},
    {"coupon_id": "spa", "coupon_name": "Guest pass", "issuing_frequency": "P1M", "roll_over": True},
    {"coupon_id": "gift", "coupon_name": "Gift", "roll_over": True, "for_lead_booker_only": True},
)
_COUPONS = {"spa": None, "gift": "P60D"}

_COPIES = """
    CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
    SELECT membership_id AS of_id, gen_random_uuid() AS membership_id, gen_random_uuid() AS guest_id,
           membership_id || ' ' || copy AS member, gen_random_uuid() AS member_id, random() * interval '30 min' AS later
      FROM memberships, generate_series(1, :copies) AS copy WHERE brand_id = :brand_id
"""
_COPY = (
    """
    INSERT INTO members (brand_id, member_id, external_user_id, joined_at)
    SELECT :brand_id, member_id, member, now() FROM copies
    """,
    """
    INSERT INTO memberships (brand_id, membership_id, membership_type_id, member_id, signed_up_at, starts_on,
                             billing_anchor, billing_frequency, status, ends_on)
    SELECT m.brand_id, c.membership_id, membership_type_id, c.member_id, signed_up_at + later, starts_on,
           billing_anchor, billing_frequency, status, ends_on
      FROM copies c JOIN memberships m ON m.brand_id = :brand_id AND m.membership_id = c.of_id
    """,
    """
    INSERT INTO guests SELECT (jsonb_populate_record(g, jsonb_build_object(
               'membership_id', c.membership_id, 'guest_id', c.guest_id, 'member_id', c.member_id))).*
      FROM copies c JOIN guests g ON g.brand_id = :brand_id AND g.membership_id = c.of_id
    """,
    """
    INSERT INTO billing_events SELECT (jsonb_populate_record(e, jsonb_build_object(
               'membership_id', c.membership_id, 'event_id', c.membership_id || e.event_id, 'time', e.time + c.later,
               'charge_id', CASE WHEN e.charge_id IS NOT NULL THEN c.membership_id || e.charge_id END,
               'data', CASE WHEN e.data ? 'guests'
                            THEN jsonb_set(e.data, '{guests,0,guest_id}', to_jsonb(c.guest_id)) ELSE e.data END))).*
      FROM copies c JOIN billing_events e ON e.brand_id = :brand_id AND e.membership_id = c.of_id
    """,
    """
    -- Without the fingerprint: a copy's instants are others.
    INSERT INTO schedules SELECT (jsonb_populate_record(s, jsonb_build_object(
               'schedule_id', c.membership_id, 'fingerprint', NULL))).*
      FROM copies c JOIN schedules s ON s.brand_id = :brand_id AND s.schedule_id = c.of_id
    """,
    "INSERT INTO membership_schedules SELECT :brand_id, membership_id, membership_id FROM copies",
    """
    INSERT INTO credits (brand_id, credit_id, code, credit_rule_id, rule_version, membership_id, guest_id, period_start,
                         period_end, reissue, coupon_id, coupon_name, roll_over, multi_use, manual,
                         valid_from, issued_at, validity_ends_at, expires_at, uses, redeemed_at, expired_at)
    SELECT brand_id, gen_random_uuid(), upper(md5(random()::text || credit_id || copied)), credit_rule_id, rule_version,
           copied, guest, period_start, period_end, reissue, coupon_id, coupon_name, roll_over, multi_use,
           manual, valid_from + later, issued_at + later, validity_ends_at + later,
           CASE WHEN expires_at = validity_ends_at THEN expires_at + later ELSE expires_at END,
           used::integer, CASE WHEN used THEN valid_from + later + interval '1 h' END,
           CASE WHEN NOT used AND expired_at IS NOT NULL THEN expired_at + later END
      FROM (SELECT o.*, c.membership_id AS copied, random() < 0.3 AS used, c.later, c.guest_id AS guest
              FROM copies c JOIN credits o ON o.brand_id = :brand_id AND o.membership_id = c.of_id) o
    """,
)


def make(engine: Engine, memberships: int, *, external: bool) -> UUID:
    """A brand with so many memberships, settled for twelve periods. `external`: two events tell of each charge."""
    with transaction(engine) as connection:
        brand_id = brands.create(connection, name="large", timezone="Europe/Lisbon", sandbox=True)[0]
    with transaction(engine, brand_id) as connection:
        _put_clock(connection, brand_id, FIRST_DAY - timedelta(days=1))
        billing = "external" if external else "automatic"
        type_id = membership_types.create(connection, brand_id, NewMembershipType(name="Gold", billing=billing))["id"]
        for name, validity in _COUPONS.items():
            body = {"name": name, "discount": {"type": "percent", "value": 10}, "validity": validity}
            coupons.put(connection, brand_id, name, CouponBody.model_validate(body))
        for rule in RULES:
            rules.create(connection, brand_id, NewCreditRule.model_validate({"membership_type_id": type_id, **rule}))
        ids = [uuid4() for _ in range(DAYS)]
        sign_ups = [
            _event(ids[day], "membership.signed_up", FIRST_DAY + timedelta(days=day), type_id=type_id)
            for day in range(DAYS)
        ]
        taken = events.accept(connection, brand_id, sign_ups)
        assert taken.accepted == DAYS, taken.rejected
    for month in range(PERIODS + 1):
        with transaction(engine, brand_id) as connection:
            _put_clock(connection, brand_id, add_months(FIRST_DAY, month) + timedelta(days=28))
            starts = [add_months(FIRST_DAY + timedelta(days=day), month) for day in range(DAYS)]
            if external:
                told = [
                    _event(ids[day], f"charge.{what}", starts[day], number=month)
                    for day in range(DAYS)
                    for what in ("initiated", "succeeded")
                ]
                assert events.accept(connection, brand_id, told).accepted == len(told)
        _settle(engine, brand_id, ids)
    with transaction(engine, brand_id) as connection:
        arguments = {"brand_id": brand_id, "copies": max(0, memberships // DAYS - 1)}
        # A nested loop would look through the very table that it fills, again for each copy.
        connection.execute(text("SET LOCAL statement_timeout = '1h'; SET LOCAL enable_nestloop = off"))
        connection.execute(text(_COPIES), arguments)
        connection.execute(text("ANALYZE copies"))
        for statement in _COPY:
            connection.execute(text(statement), arguments)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM (ANALYZE)"))  # which in a real year had the year's time
    return brand_id


def _put_clock(connection: Connection, brand_id: UUID, day: date) -> None:
    now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    connection.execute(
        text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id"), {"now": now, "brand_id": brand_id}
    )


def _settle(engine: Engine, brand_id: UUID, ids: list[UUID]) -> None:
    while True:
        with transaction(engine, brand_id) as connection:
            waiting = [one.membership_id for one in arrivals.with_work(connection, brand_id, ids)]
            if not waiting:
                return
            pipeline.settle_these(connection, brand_id, waiting)


def _event(membership_id: UUID, kind: str, day: date, *, type_id: UUID | None = None, number: int = 0) -> object:
    data: dict[str, object] = {"membership_id": str(membership_id)}
    if type_id is not None:
        data |= {
            "membership_type_id": str(type_id),
            "external_user_id": str(membership_id),
            "starts_on": day.isoformat(),
        }
    else:
        data |= {"charge_id": f"{membership_id} {number}", "period_start": day.isoformat(), "amount": "90"}
    hour = "08" if kind.endswith("initiated") else "09"
    return {
        "specversion": "1.0",
        "source": "club",
        "id": f"{membership_id} {kind} {number}",
        "type": kind,
        "time": f"{day}T{hour}:00:00Z",
        "data": data,
    }

"""A credit rule over time: its versions, with what each changed, and what its last preview foretold."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.engine import plans
from issuance.errors import NotFound

_VERSIONS = text("""
    SELECT v.version, v.created_at, v.actor, v.deleted, t.name AS membership_type, v.coupon_id, v.coupon_name,
           c.name AS coupon,
           v.roll_over, v.roll_over_limit, v.issue_on_signup, v.multi_use, v.max_uses, v.for_lead_booker_only,
           v.issuing_frequency, v.include_upcoming
      FROM rule_versions v JOIN membership_types t USING (brand_id, membership_type_id)
      JOIN coupons c USING (brand_id, coupon_id)
     WHERE v.brand_id = :brand_id AND v.credit_rule_id = :credit_rule_id
     ORDER BY v.version
""")
# The last finished preview of the newest version that has one: without its change it is that version's forecast.
_FORETOLD = text("""
    SELECT run_id, finished_at, CAST(rule ->> 'version' AS integer) AS version FROM runs
     WHERE brand_id = :brand_id AND credit_rule_id = :credit_rule_id AND kind = 'preview' AND state = 'finished'
     ORDER BY version DESC NULLS LAST, created_at DESC LIMIT 1
""")
_PREVIEW = text("""
    SELECT run_id, credit_rule_id, rule, months, state FROM runs
     WHERE brand_id = :brand_id AND run_id = :run_id AND kind = 'preview'
""")
# People who lose come first, then those who get something else, then those who gain; of a long plan only the first
# part.
_WORST = text("""
    SELECT one FROM (
        SELECT one FROM run_batches, jsonb_array_elements(plan) AS one
         WHERE brand_id = :brand_id AND run_id = :run_id AND plan IS NOT NULL LIMIT :looked_at) planned
     ORDER BY CASE WHEN one -> 'after' = 'null' THEN 0 WHEN one -> 'before' = 'null' THEN 2 ELSE 1 END,
              one ->> 'period_start'
     LIMIT :most
""")
_SUMMED = text("""
    SELECT count(*) FILTER (WHERE one -> 'after' = 'null') AS lost,
           count(*) FILTER (WHERE one -> 'before' = 'null') AS gained,
           count(*) AS differ
      FROM (SELECT one FROM run_batches, jsonb_array_elements(plan) AS one
             WHERE brand_id = :brand_id AND run_id = :run_id AND plan IS NOT NULL LIMIT :looked_at) planned
""")
_COUPONS = text("SELECT coupon_id, name FROM coupons WHERE brand_id = :brand_id AND coupon_id = ANY(:ids)")
_GUESTS = text("""
    SELECT membership_id, guest_id, name FROM guests
     WHERE brand_id = :brand_id
       AND (membership_id, guest_id) IN (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:guest_ids AS uuid[])))
""")
#: How many rows of a preview are looked at, and how many are shown.
LOOKED_AT, MOST = 20_000, 20
_CHANGES = (
    *("membership_type", "coupon", "coupon_name", "issuing_frequency", "issue_on_signup", "for_lead_booker_only"),
    *("roll_over", "roll_over_limit", "multi_use", "max_uses"),
)


def versions(connection: Connection, brand_id: UUID, credit_rule_id: UUID) -> list[dict[str, Any]]:
    """A rule's versions, the latest first, each with what it changed; those of a deleted rule too. Raises NotFound."""
    which = {"brand_id": brand_id, "credit_rule_id": credit_rule_id}
    rows = [dict(row) for row in connection.execute(_VERSIONS, which).mappings()]
    if not rows:
        raise NotFound("There is no such credit rule.")
    for before, row in zip([None, *rows[:-1]], rows, strict=True):
        row["changed"] = [
            (name, None if before is None else before[name], row[name])
            for name in _CHANGES
            if before is not None and before[name] != row[name]
        ]
    return rows[::-1]


def foretold(connection: Connection, brand_id: UUID, credit_rule_id: UUID) -> dict[str, Any] | None:
    """The last finished preview of a rule: its run, when it was made, and its version (None: an earlier release made
    it, and it does not say). None if there is no preview."""
    which = {"brand_id": brand_id, "credit_rule_id": credit_rule_id}
    row = connection.execute(_FORETOLD, which).mappings().one_or_none()
    return None if row is None else dict(row)


def preview(connection: Connection, brand_id: UUID, run_id: UUID) -> dict[str, Any]:
    """What a preview's rule would say, of which rule it is, and where the run stands. Raises NotFound."""
    row = connection.execute(_PREVIEW, {"brand_id": brand_id, "run_id": run_id}).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such preview.")
    return dict(row)


def worst(connection: Connection, brand_id: UUID, run_id: UUID) -> dict[str, Any]:
    """The differences of a preview: how much is lost and gained, and the worst rows, unless they are kept no longer."""
    which = {"brand_id": brand_id, "run_id": run_id, "looked_at": LOOKED_AT}
    rows: list[dict[str, Any]] = list(connection.scalars(_WORST, {**which, "most": MOST}))
    ids, guest_ids = [row["membership_id"] for row in rows], [row["guest_id"] for row in rows]
    guests = connection.execute(_GUESTS, {"brand_id": brand_id, "ids": ids, "guest_ids": guest_ids})
    names = {(str(guest.membership_id), str(guest.guest_id)): guest.name for guest in guests}
    for row in rows:
        row["name"] = names.get((row["membership_id"], row["guest_id"]), "")
    sides = [side for row in rows for side in (row["before"], row["after"]) if side]
    ids = list({side["coupon_id"] for side in sides})
    called = {one.coupon_id: one.name for one in connection.execute(_COUPONS, {"brand_id": brand_id, "ids": ids})}
    for side in sides:
        side["coupon"] = called.get(side["coupon_id"], side["coupon_id"])
    summed = connection.execute(_SUMMED, which).mappings().one()
    forgotten = plans.is_forgotten(connection, brand_id, run_id)
    return {**summed, "rows": rows, "looked_at": LOOKED_AT, "forgotten": forgotten}

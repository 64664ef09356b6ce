"""What the first page shows: what waits for a person, and what is under way."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.engine import held_rules, runs
from issuance.tenancy import clock

# What waits for a person; each part has an index of its own, of exceptions only.
_WAITING = text("""
    SELECT (SELECT count(*) FROM schedules WHERE brand_id = :brand_id AND quarantined_at IS NOT NULL) AS quarantined,
           (SELECT count(*) FROM rejected_events WHERE brand_id = :brand_id) AS rejected_events,
           (SELECT count(*) FROM webhooks WHERE brand_id = :brand_id AND disabled_at IS NOT NULL) AS disabled_webhooks,
           (SELECT count(*) FROM webhooks
             WHERE brand_id = :brand_id AND disabled_at IS NULL AND failing_since IS NOT NULL) AS failing_webhooks,
           (SELECT count(*) FROM charges WHERE brand_id = :brand_id AND pays_for_nothing) AS charges_for_nothing,
           (SELECT count(*) FROM verdicts WHERE brand_id = :brand_id AND offenders > 0) AS broken_laws,
           (SELECT count(*) FROM biller_deliveries WHERE brand_id = :brand_id AND state = 'unmappable') AS unmapped
""")
# Whether there is anything yet: people with an empty brand are led to its first steps.
_STEPS = text("""
    SELECT EXISTS (SELECT FROM membership_types WHERE brand_id = :brand_id) AS types,
           EXISTS (SELECT FROM coupons WHERE brand_id = :brand_id) AS coupons,
           EXISTS (SELECT FROM credit_rules WHERE brand_id = :brand_id AND deleted_at IS NULL) AS rules,
           EXISTS (SELECT FROM memberships WHERE brand_id = :brand_id) AS memberships
""")
_UNFINISHED = text("""
    SELECT run_id FROM runs WHERE brand_id = :brand_id AND finished_at IS NULL ORDER BY created_at DESC LIMIT 5
""")
_CHECKED = text("SELECT max(checked_at) FROM verdicts WHERE brand_id = :brand_id")


def read(connection: Connection, brand_id: UUID) -> dict[str, Any]:
    """Everything on the first page."""
    present = clock.read(connection, brand_id)
    unfinished = list(connection.scalars(_UNFINISHED, {"brand_id": brand_id}))
    return {
        "now": present.now,
        "waiting": {
            **connection.execute(_WAITING, {"brand_id": brand_id}).mappings().one(),
            "held_rules": held_rules.page(connection, brand_id, 1, 1)[1],
        },
        "steps": dict(connection.execute(_STEPS, {"brand_id": brand_id}).mappings().one()),
        "checked_at": connection.scalar(_CHECKED, {"brand_id": brand_id}),
        "unfinished": [runs.read(connection, brand_id, run_id) for run_id in unfinished],
    }

"""Accepting a run that reconciles a biller: workers find it by themselves."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from issuance import audit

_START = text("""
    WITH run AS (
         INSERT INTO runs (brand_id, run_id, kind, dry_run, plan_id, reason)
         VALUES (:brand_id, :run_id, 'reconcile', :dry_run, :plan_id, :reason))
    INSERT INTO reconciliations (brand_id, run_id, biller_id, since)
    VALUES (:brand_id, :run_id, :biller_id, :since)
""")


def start(
    connection: Connection,
    brand_id: UUID,
    biller_id: UUID,
    since: datetime | None,
    *,
    dry_run: bool = False,
    plan_id: UUID | None = None,
    reason: str | None = None,
    audited: bool = True,
) -> UUID:
    """Accept a run over what was made since an instant, or from the beginning (None), and return its id."""
    run_id = uuid7()
    which = {"brand_id": brand_id, "biller_id": biller_id, "run_id": run_id, "plan_id": plan_id, "reason": reason}
    connection.execute(_START, {**which, "since": since, "dry_run": dry_run})
    if audited:
        said = {"kind": "reconcile", "biller_id": biller_id, "since": since, "dry_run": dry_run, "plan_id": plan_id}
        audit.write(connection, brand_id, "run.created", run_id, reason=reason, after=said)
    return run_id

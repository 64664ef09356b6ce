"""Undo: take back for good what a run issued, or what a rule version issued from an instant on (SEMANTICS 17).

It works through ranges of membership ids, set-based. Like settling it locks the memberships' schedules before their
credits; the credits themselves are not locked: each statement asks that what it takes back is still unredeemed.
"""

import json
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.credits import credits
from issuance.deciding.reasons import Reason
from issuance.engine import runs, schedules
from issuance.errors import Conflict, Invalid, NotFound
from issuance.tenancy import clock as clocks
from issuance.webhooks import outbox

_MEANT = """
      c.brand_id = :brand_id AND c.membership_id BETWEEN :first_id AND :last_id
  AND (CAST(:credit_rule_id AS uuid) IS NULL OR c.credit_rule_id = :credit_rule_id)
  AND (CAST(:undoes_run_id AS uuid) IS NULL OR c.run_id = :undoes_run_id)
  AND (CAST(:rule_version AS integer) IS NULL OR (c.rule_version = :rule_version AND c.issued_at >= :issued_from))
"""
_BY_OPERATOR = "revoked_by = 'operator', revoked_reason = :reason, revoked_actor = CAST(:actor AS jsonb)"
_REVOKE = text(f"""
    UPDATE credits c SET revoked_at = :now, {_BY_OPERATOR}
     WHERE {_MEANT} AND {credits.STILL_OUT}
       AND c.expired_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > :now)
""")
_REVOKE_AND_TELL = text(f"{_REVOKE.text} RETURNING c.credit_id")
# Credits that facts revoked become final too: facts can't restore them.
_FOR_GOOD = text(f"""
    UPDATE credits c SET {_BY_OPERATOR} WHERE {_MEANT} AND c.revoked_by = 'facts'
    RETURNING c.credit_id
""")
_LEFT = text(f"""
    SELECT count(*) AS number, array_agg(CAST(c.credit_id AS text)) FILTER (WHERE c.redeemed_at IS NOT NULL) AS redeemed
      FROM credits c WHERE {_MEANT}
""")
_UNDONE = text("""
    SELECT EXISTS (SELECT FROM runs
                    WHERE brand_id = :brand_id AND kind = 'undo' AND state = 'finished'
                      AND undoes_run_id IS NOT DISTINCT FROM :undoes_run_id
                      AND rule_version IS NOT DISTINCT FROM :rule_version
                      AND credit_rule_id IS NOT DISTINCT FROM :credit_rule_id
                      AND (issued_from IS NULL OR issued_from <= :issued_from))
""")
_VERSION_IS_THERE = text("""
    SELECT FROM rule_versions
     WHERE brand_id = :brand_id AND credit_rule_id = :credit_rule_id AND version = :version AND NOT deleted
""")
# Whoever has claimed a batch of a run that was cancelled waits for this, or finds its claim outdated.
_STOP_BATCHES = text("""
    UPDATE run_batches SET attempts = attempts + 1
     WHERE brand_id = :brand_id AND run_id = :run_id AND finished_at IS NULL
""")
#: The runs that issue.
_ISSUING = ("sweep", "issue", "replay")


def start_of_run(connection: Connection, brand_id: UUID, run_id: UUID, reason: str) -> UUID:
    """Accept the undo of a run. Raises NotFound; Conflict for one that issues nothing, or is not over."""
    run = runs.lock(connection, brand_id, run_id)
    if run is None:
        raise NotFound("There is no such run.")
    if run.kind not in _ISSUING or run.dry_run:
        raise Conflict(f"A {'dry run' if run.dry_run else f'run of kind {run.kind}'} has issued nothing to undo.")
    if run.finished_at is None:
        raise Conflict(f"The run is {run.state}: cancel it first, or wait for its end.")
    connection.execute(_STOP_BATCHES, {"brand_id": brand_id, "run_id": run_id})
    # Narrows the batches to memberships that can have its credits.
    where = {"credit_rule_id": run.credit_rule_id, "membership_id": run.membership_id}
    return _start(connection, brand_id, reason, undoes_run_id=run_id, **where)


def start_of_version(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, version: int, issued_from: datetime, reason: str
) -> UUID:
    """Accept the undo of what a rule version issued at or after an instant of the brand's clock. The version stays in
    force, and a deleted rule is known here. Raises NotFound, Invalid."""
    runs.check_rule(connection, brand_id, credit_rule_id, deleted_too=True)
    parameters = {"brand_id": brand_id, "credit_rule_id": credit_rule_id, "version": version}
    if connection.execute(_VERSION_IS_THERE, parameters).first() is None:
        raise Invalid(fields={"rule_version": "is not known"})
    what = {"credit_rule_id": credit_rule_id, "rule_version": version, "issued_from": issued_from}
    return _start(connection, brand_id, reason, **what)


def _start(connection: Connection, brand_id: UUID, reason: str, **what: object) -> UUID:
    names = ("undoes_run_id", "credit_rule_id", "rule_version", "issued_from")
    asked = {**dict.fromkeys(names), **what}
    again = connection.scalar(_UNDONE, {"brand_id": brand_id, **{name: asked[name] for name in names}})
    return runs.start(connection, brand_id, kind="undo", reason=reason, again=again, **what)


def undo(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> tuple[Counter[Reason], list[str]]:
    """Take back what an undo covers within a range of membership ids. Counts by reason, and the ids of the credits that
    are redeemed. A repeated undo counts only what it revokes now."""
    clock = clocks.read(connection, run.brand_id, lock=True)
    schedules.lock(connection, run.brand_id, first_id, last_id)
    names = ("brand_id", "credit_rule_id", "undoes_run_id", "rule_version", "issued_from", "reason")
    parameters = {name: getattr(run, name) for name in names}
    parameters |= {
        "first_id": first_id,
        "last_id": last_id,
        "now": clock.now,
        "actor": run.actor and json.dumps(run.actor),
    }
    if "credit.revoked" in outbox.listened_to(connection, run.brand_id):
        taken_back = connection.scalars(_REVOKE_AND_TELL, parameters).all()
        credits.tell(connection, run.brand_id, "credit.revoked", taken_back, clock.now)
        revoked = len(taken_back)
    else:
        revoked = connection.execute(_REVOKE, parameters).rowcount
    made_final = connection.scalars(_FOR_GOOD, parameters).all()
    credits.tell(connection, run.brand_id, "credit.updated", made_final, clock.now)
    left = connection.execute(_LEFT, parameters).one()
    redeemed = left.redeemed or []
    counts = Counter({Reason.REVOKED: revoked})
    if not run.again:
        counts[Reason.ALREADY_REDEEMED] = len(redeemed)
        counts[Reason.ALREADY_GONE] = left.number - revoked - len(redeemed)
    return counts, redeemed

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
from issuance.database.tables import credits as credits_table
from issuance.deciding.reasons import Reason
from issuance.engine import runs, schedules
from issuance.errors import Conflict, Invalid, NotFound
from issuance.tenancy import clock as clocks

_MEANT = """
      c.brand_id = :brand_id AND c.membership_id BETWEEN :first_id AND :last_id
  AND (CAST(:credit_rule_id AS uuid) IS NULL OR c.credit_rule_id = :credit_rule_id)
  AND (CAST(:undoes_run_id AS uuid) IS NULL OR c.run_id = :undoes_run_id)
  AND (CAST(:rule_version AS integer) IS NULL OR (c.rule_version = :rule_version AND c.issued_at >= :issued_from))
"""
_BY_OPERATOR = "revoked_by = 'operator', revoked_reason = :reason, revoked_actor = CAST(:actor AS jsonb)"
_REVOKE = text(f"""
    UPDATE credits c SET revoked_at = :now, {_BY_OPERATOR}
     WHERE {_MEANT} AND {credits.LIVE_OR_UPCOMING}
    RETURNING c.credit_id
""")
# Credits that facts revoked become final too: facts can't restore them.
_FOR_GOOD = text(f"""
    UPDATE credits c SET {_BY_OPERATOR} WHERE {_MEANT} AND c.revoked_by = 'facts'
    RETURNING c.credit_id
""")
# Once the live ones are revoked, those that are neither spent nor taken back have expired. They stay so, whatever date
# is moved later.
_EXPIRED = text(f"SELECT c.credit_id FROM credits c WHERE {_MEANT} AND {credits.STILL_OUT}")
# Manual credits that it asked for and that are held: nobody can approve them any more, and their keys stay free.
_REFUSE_HELD = text("""
    UPDATE held_credits h SET state = 'refused'
     WHERE h.brand_id = :brand_id AND h.membership_id BETWEEN :first_id AND :last_id
       AND h.run_id = :undoes_run_id AND h.manual AND h.state IN ('waiting', 'approved')
       AND NOT EXISTS (SELECT FROM credits c
                        WHERE (c.brand_id, c.membership_id, c.credit_rule_id, c.period_start, c.reissue, c.guest_id)
                            = (h.brand_id, h.membership_id, h.credit_rule_id, h.period_start, h.reissue, h.guest_id))
""")
# The latest undo that found a credit redeemed, unless a person has reinstated or extended it since, by itself or in a
# bulk call, which has one entry for all. Only what was out again can have been, so the audit is seldom asked; of months
# that were detached from it nobody knows, and who may have been given it back keeps it. A membership is in the first
# batch that reaches as far.
_FOUND_REDEEMED = text("""
    WITH found AS MATERIALIZED (
         SELECT r.reason, r.actor, r.created_at, c.credit_id,
                c.extended_at IS NOT NULL
                OR EXISTS (SELECT FROM redemptions x
                            WHERE x.brand_id = c.brand_id AND x.credit_id = c.credit_id AND x.status = 'CANCELED'
                          ) AS may_be_given_back
           FROM credits c
           JOIN runs r ON r.brand_id = c.brand_id AND r.kind = 'undo'
            AND (r.undoes_run_id = c.run_id
                 OR (r.credit_rule_id = c.credit_rule_id AND r.rule_version = c.rule_version))
           JOIN LATERAL (SELECT b.plan FROM run_batches b
                          WHERE (b.brand_id, b.run_id) = (r.brand_id, r.run_id) AND b.last_id >= c.membership_id
                          ORDER BY b.batch LIMIT 1) reached ON true
          WHERE c.brand_id = :brand_id AND c.credit_id = :credit_id
            AND reached.plan @> to_jsonb(CAST(c.credit_id AS text)))
    SELECT reason, actor FROM found
     WHERE NOT may_be_given_back
        OR (NOT EXISTS (SELECT FROM (SELECT since FROM parts_of('audit_entries') ORDER BY until LIMIT 1) audit
                         WHERE since > least_id(CAST(found.created_at AT TIME ZONE 'UTC' AS date)))
            AND NOT EXISTS (SELECT FROM audit_entries e
                             WHERE e.brand_id = :brand_id AND e.subject_id = CAST(found.credit_id AS text)
                               AND e.action IN ('credit.reinstated', 'credit.extended') AND e.at >= found.created_at)
            AND NOT EXISTS (SELECT FROM audit_entries e
                             WHERE e.brand_id = :brand_id AND e.action = 'correction.made' AND e.at >= found.created_at
                               -- Hosts that write ids have clocks of their own.
                               AND e.entry_id >= least_id(CAST(found.created_at - interval '2 days' AS date))
                               AND e.after ?| array['reinstated', 'extended']
                               AND e.after -> 'credit_ids' @> to_jsonb(CAST(found.credit_id AS text))))
     ORDER BY created_at DESC LIMIT 1
""")
_REVOKE_ONE = text(f"""
    UPDATE credits c SET revoked_at = :now, {_BY_OPERATOR}
     WHERE c.brand_id = :brand_id AND c.credit_id = :credit_id AND {credits.LIVE_OR_UPCOMING}
    RETURNING c.credit_id
""")
_ONE_FOR_GOOD = text(f"""
    UPDATE credits c SET {_BY_OPERATOR}
     WHERE c.brand_id = :brand_id AND c.credit_id = :credit_id AND c.revoked_by = 'facts'
""")
_UNDOES_THE_SAME = """
      r.brand_id = :brand_id AND r.kind = 'undo'
  AND r.undoes_run_id IS NOT DISTINCT FROM :undoes_run_id
  AND r.rule_version IS NOT DISTINCT FROM :rule_version
  AND r.credit_rule_id IS NOT DISTINCT FROM :credit_rule_id
  AND (r.issued_from IS NULL OR r.issued_from <= :issued_from)
"""
_UNDONE = text(f"SELECT EXISTS (SELECT FROM runs r WHERE r.state = 'finished' AND {_UNDOES_THE_SAME})")
# What other undos of the same have counted, whatever became of them: each batch begins behind the one before, and one
# that was taken apart moves its first id ahead.
_LEFT = text(f"""
    WITH batch AS (
             SELECT lag(b.last_id) OVER (PARTITION BY b.run_id ORDER BY b.batch) AS behind, b.first_id, b.last_id,
                    b.finished_at IS NOT NULL AS is_done
               FROM runs r JOIN run_batches b USING (brand_id, run_id)
              WHERE r.run_id <> :run_id AND {_UNDOES_THE_SAME}),
         counted AS MATERIALIZED (
             SELECT * FROM batch WHERE last_id >= :first_id AND (behind IS NULL OR behind < :last_id)),
         meant AS (
             SELECT c.credit_id, c.redeemed_at IS NOT NULL AS is_redeemed,
                    EXISTS (SELECT FROM counted b
                             WHERE (b.behind IS NULL OR c.membership_id > b.behind)
                               AND (c.membership_id < b.first_id OR (b.is_done AND c.membership_id <= b.last_id))
                           ) AS is_counted
               FROM credits c WHERE {_MEANT})
    SELECT array_agg(CAST(credit_id AS text)) FILTER (WHERE is_redeemed) AS redeemed,
           count(*) FILTER (WHERE is_redeemed AND NOT is_counted) AS already_redeemed,
           count(*) FILTER (WHERE NOT is_redeemed AND NOT is_counted
                              AND credit_id NOT IN (SELECT unnest(CAST(:revoked AS uuid[])))) AS already_gone
      FROM meant
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
    are redeemed. It does not count again what another undo of the same has counted."""
    clock = clocks.read(connection, run.brand_id, lock=True)
    schedules.lock(connection, run.brand_id, first_id, last_id)
    clock = clocks.once_locked(connection, run.brand_id, clock)
    names = ("brand_id", "run_id", "credit_rule_id", "undoes_run_id", "rule_version", "issued_from", "reason")
    parameters = {name: getattr(run, name) for name in names}
    parameters |= {
        "first_id": first_id,
        "last_id": last_id,
        "now": clock.now,
        "actor": run.actor and json.dumps(run.actor),
    }
    revoked = connection.scalars(_REVOKE, parameters).all()
    credits.tell(connection, run.brand_id, "credit.revoked", revoked, clock.now)
    made_final = connection.scalars(_FOR_GOOD, parameters).all()
    credits.tell(connection, run.brand_id, "credit.updated", made_final, clock.now)
    expired = connection.scalars(_EXPIRED, parameters).all()
    credits.end_for_good(connection, run.brand_id, clock.now, credits_table.c.credit_id.in_(expired))
    refused = connection.execute(_REFUSE_HELD, parameters).rowcount if run.undoes_run_id else 0
    left = connection.execute(_LEFT, {**parameters, "revoked": revoked}).one()
    counts = Counter({Reason.REVOKED: len(revoked), Reason.REFUSED: refused})
    if not run.again:
        counts[Reason.ALREADY_REDEEMED] = left.already_redeemed
        counts[Reason.ALREADY_GONE] = left.already_gone
    return counts, left.redeemed or []


def take_back(connection: Connection, brand_id: UUID, credit_id: UUID) -> bool:
    """Take back a credit whose use was cancelled, if an undo found it redeemed: as that would have, had it not been
    used. Whether it was so."""
    found = connection.execute(_FOUND_REDEEMED, {"brand_id": brand_id, "credit_id": credit_id}).one_or_none()
    if found is None:
        return False
    now = clocks.read(connection, brand_id).now
    said = {"reason": found.reason, "actor": found.actor and json.dumps(found.actor)}
    parameters = {"brand_id": brand_id, "credit_id": credit_id, "now": now, **said}
    revoked = connection.scalars(_REVOKE_ONE, parameters).all()
    credits.tell(connection, brand_id, "credit.revoked", revoked, now)
    connection.execute(_ONE_FOR_GOOD, parameters)
    credits.end_for_good(connection, brand_id, now, credits_table.c.credit_id == credit_id)
    return True

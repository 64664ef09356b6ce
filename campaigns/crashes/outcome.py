"""The outcome of a scenario, without anything that differs from run to run, such as new ids and real times."""

from collections import Counter
from typing import Any

from sqlalchemy import text

from campaigns.faults.club import Club
from issuance.database.connections import transaction

_MEMBER = """
    (SELECT p.external_user_id FROM memberships m JOIN members p USING (brand_id, member_id)
      WHERE m.membership_id = t.membership_id)
"""
_PARTS = {
    "credits": f"""
        SELECT {_MEMBER} AS member, t.period_start, t.period_end, t.reissue, t.coupon_name, t.rule_version, t.roll_over,
               t.valid_from, t.expires_at, t.issued_at, t.manual, t.uses, t.redeemed_at, t.expired_at, t.revoked_by
          FROM credits t""",
    "events": "SELECT event_id, type, settled_at IS NOT NULL AS settled FROM billing_events t",
    "rejected": "SELECT code FROM rejected_events t",
    "memberships": f"""
        SELECT {_MEMBER} AS member, status, d.due_at, d.attempts, d.quarantined_at, d.last_error
          FROM memberships t JOIN membership_schedules USING (brand_id, membership_id)
          JOIN schedules d USING (brand_id, schedule_id)""",
    "runs": """
        SELECT kind, state, total, (SELECT sum(size) FROM run_batches b WHERE b.run_id = t.run_id) AS size,
               (SELECT jsonb_agg(counts ORDER BY batch)::text FROM run_batches b WHERE b.run_id = t.run_id) AS counts
          FROM runs t WHERE kind <> 'sweep'""",
    "wallets": "SELECT external_user_id, received, spent FROM wallets t JOIN members USING (brand_id, member_id)",
    "ledger": """
        SELECT external_user_id, type, amount, reason FROM ledger_entries t JOIN members USING (brand_id, member_id)""",
    "redemptions": """
        SELECT external_user_id, points, offer, reference, status, credit_id IS NULL AS of_points
          FROM redemptions t LEFT JOIN members USING (brand_id, member_id)""",
    "told": """
        SELECT e.type, e.occurred_at, e.data ->> 'amount' AS amount, t.state, t.delivered_at IS NOT NULL AS delivered
          FROM deliveries t JOIN webhook_events e USING (brand_id, event_id)""",
    "answers kept": "SELECT status, count(*) AS n FROM idempotency_keys t GROUP BY status",
}

#: Rows of each part, with how often each is there.
Outcome = dict[str, Counter[tuple[Any, ...]]]


def of(club: Club) -> Outcome:
    """The outcome as it stands now."""
    with transaction(club.site.engine, club.brand_id) as connection:
        return {part: Counter(tuple(row) for row in connection.execute(text(sql))) for part, sql in _PARTS.items()}


def differences(undisturbed: Outcome, disturbed: Outcome) -> list[str]:
    """What is missing and what is too much, one line each."""
    found = []
    for part, rows in undisturbed.items():
        found += [f"{part}: missing {times} x {row}" for row, times in (rows - disturbed[part]).items()]
        found += [f"{part}: too much {times} x {row}" for row, times in (disturbed[part] - rows).items()]
    return found

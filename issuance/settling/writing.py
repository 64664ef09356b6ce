"""Write what walks came to: a few set-based statements a batch, inside the caller's transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from issuance.errors import IssuanceError
from issuance.settling.codes import new_codes
from issuance.settling.projecting import project
from issuance.settling.walking import Walked


class Raced(IssuanceError):
    """A credit was redeemed or revoked while its membership was being settled: settle again."""

    code = "raced"


def _unnest(**columns: str) -> str:
    """`unnest` over one array parameter a column, typed so that empty and all-NULL arrays pass."""
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    return f"unnest({arrays}) AS new ({', '.join(columns)})"


_CREDIT_COLUMNS = {
    "run_id": "uuid",
    "credit_id": "uuid",
    "code": "text",
    "credit_rule_id": "uuid",
    "rule_version": "integer",
    "membership_id": "uuid",
    "guest_id": "uuid",
    "period_start": "date",
    "period_end": "date",
    "reissue": "integer",
    "coupon_id": "text",
    "coupon_name": "text",
    "roll_over": "boolean",
    "multi_use": "boolean",
    "valid_from": "timestamptz",
    "expires_at": "timestamptz",
    "validity_ends_at": "timestamptz",
    "issued_at": "timestamptz",
    "manual": "boolean",
    "revoked_at": "timestamptz",
    "revoked_by": "text",
    "revoked_reason": "text",
    "expired_at": "timestamptz",
}
# ON CONFLICT names the idempotency key: a collision of codes is an error, not a silent loss.
_ISSUE = text(f"""
    INSERT INTO credits (brand_id, {", ".join(_CREDIT_COLUMNS)})
    SELECT :brand_id, new.* FROM {_unnest(**_CREDIT_COLUMNS)}
    ON CONFLICT ON CONSTRAINT credits_once DO NOTHING
""")
# What was read must still hold: redemptions and an operator's revocations do not wait for settling.
_CHANGE = text(f"""
    UPDATE credits c
       SET period_end = new.period_end, expires_at = new.expires_at, revoked_at = new.revoked_at,
           revoked_by = new.revoked_by, expired_at = new.expired_at,
           revoked_reason = CASE WHEN new.revoked_at IS NOT NULL THEN coalesce(new.revoked_reason, c.revoked_reason) END,
           flagged_at = new.flagged_at
      FROM {
    _unnest(
        credit_id="uuid",
        was_uses="integer",
        was_redeemed_at="timestamptz",
        was_revoked_at="timestamptz",
        period_end="date",
        expires_at="timestamptz",
        revoked_at="timestamptz",
        revoked_by="text",
        revoked_reason="text",
        expired_at="timestamptz",
        flagged_at="timestamptz",
    )
}
     WHERE c.brand_id = :brand_id AND c.credit_id = new.credit_id AND c.uses = new.was_uses
       AND c.redeemed_at IS NOT DISTINCT FROM new.was_redeemed_at
       AND c.revoked_at IS NOT DISTINCT FROM new.was_revoked_at
""")
_DUES = text(f"""
    UPDATE dues d
       SET due_at = new.due_at, settled_at = :now, attempts = 0, retry_at = NULL, last_error = NULL, quarantined_at = NULL
      FROM {_unnest(membership_id="uuid", due_at="timestamptz")}
     WHERE d.brand_id = :brand_id AND d.membership_id = new.membership_id
""")
_SOONER = text(f"""
    UPDATE dues d SET due_at = least(d.due_at, new.due_at)
      FROM {_unnest(membership_id="uuid", due_at="timestamptz")}
     WHERE d.brand_id = :brand_id AND d.membership_id = new.membership_id
""")
_STATUSES = text(f"""
    UPDATE memberships m SET status = new.status, ends_on = new.ends_on
      FROM {_unnest(membership_id="uuid", status="text", ends_on="date")}
     WHERE m.brand_id = :brand_id AND m.membership_id = new.membership_id
""")
_SETTLED = text(f"""
    UPDATE billing_events e SET settled_at = clock_timestamp()
      FROM {_unnest(source="text", event_id="text")}
     WHERE e.brand_id = :brand_id AND e.source = new.source AND e.event_id = new.event_id
""")


def write(
    connection: Connection, brand_id: UUID, walks: Sequence[Walked], *, run_id: UUID | None, by_hand: bool = False
) -> None:
    """Write all that `walks` came to. Raises Raced where a credit changed since it was read.

    A manual run (`by_hand`) is the run of its manual credits, any other of the scheduled ones.
    """
    if not walks:
        return
    project(connection, brand_id, walks)  # guests first: credits name them
    issue(connection, brand_id, walks, run_id=run_id, by_hand=by_hand)
    _change(connection, brand_id, walks)
    moved = [
        walk
        for walk in walks
        if (walk.status, walk.ends_on) != (walk.membership.row.status, walk.membership.row.ends_on)
    ]
    if moved:
        rows = [(walk.membership.membership_id, walk.status.value, walk.ends_on) for walk in moved]
        _execute(connection, _STATUSES, brand_id, ("membership_id", "status", "ends_on"), rows)
    settled = [fact.order for walk in walks for fact in walk.membership.facts if fact.unsettled]
    if settled:
        _execute(
            connection,
            _SETTLED,
            brand_id,
            ("source", "event_id"),
            [(order.source, order.event_id) for order in settled],
        )
    dues = [(walk.membership.membership_id, walk.due_at) for walk in walks]
    _execute(connection, _DUES, brand_id, ("membership_id", "due_at"), dues, now=walks[0].now)


def issue(
    connection: Connection, brand_id: UUID, walks: Sequence[Walked], *, run_id: UUID | None, by_hand: bool = False
) -> None:
    """Insert the credits that walks issued, each in its final state."""
    codes = iter(new_codes(sum(len(walk.issued) for walk in walks)))
    rows = []
    for walk in walks:
        for credit, new in walk.issued:
            changed = walk.changed.get(credit.credit_id)
            reason = changed[2] if changed is not None and credit.revoked_at is not None else None
            rows.append(
                (
                    run_id if credit.manual is by_hand else None,
                    credit.credit_id,
                    next(codes),
                    credit.key.credit_rule_id,
                    credit.rule_version,
                    walk.membership.membership_id,
                    credit.key.guest_id,
                    credit.key.period_start,
                    credit.period_end,
                    credit.key.reissue,
                    new.version.coupon_id,
                    new.version.coupon_name,
                    credit.roll_over,
                    credit.multi_use,
                    credit.valid_from,
                    credit.expires_at,
                    credit.validity_ends_at,
                    credit.issued_at,
                    credit.manual,
                    credit.revoked_at,
                    credit.revoked_by,
                    reason,
                    credit.expired_at,
                )
            )
    if rows:
        _execute(connection, _ISSUE, brand_id, tuple(_CREDIT_COLUMNS), rows)


def _change(connection: Connection, brand_id: UUID, walks: Sequence[Walked]) -> None:
    names = (
        "credit_id", "was_uses", "was_redeemed_at", "was_revoked_at", "period_end", "expires_at", "revoked_at",
        "revoked_by", "revoked_reason", "expired_at", "flagged_at",
    )  # fmt: skip
    rows = []
    for walk in walks:
        fresh = {credit.credit_id for credit, _ in walk.issued}
        for credit_id, (before, after, why) in walk.changed.items():
            if credit_id in fresh:
                continue
            reason = why.value if after.revoked_by == "facts" and why is not None else None
            rows.append(
                (
                    credit_id, before.uses, before.redeemed_at, before.revoked_at, after.period_end, after.expires_at,
                    after.revoked_at, after.revoked_by, reason, after.expired_at, after.flagged_at,
                )
            )  # fmt: skip
    if rows and _execute(connection, _CHANGE, brand_id, names, rows) != len(rows):
        raise Raced


def _execute(
    connection: Connection,
    statement: Any,
    brand_id: UUID,
    names: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    **more: object,
) -> int:
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return connection.execute(statement, {"brand_id": brand_id, **columns, **more}).rowcount


def wake_by(connection: Connection, brand_id: UUID, walks: Sequence[Walked]) -> None:
    """See to it that memberships fall due when credits that were issued beside their settling expire."""
    rows = [(walk.membership.membership_id, walk.due_at) for walk in walks if walk.due_at is not None]
    if rows:
        _execute(connection, _SOONER, brand_id, ("membership_id", "due_at"), rows)


def reject(connection: Connection, brand_id: UUID, source: str, event_id: str, code: str, message: str) -> None:
    """Take back the acceptance of an event that turned out not to fit its membership; it stays with the operator."""
    connection.execute(
        text("""
            WITH refused AS (
                DELETE FROM billing_events WHERE brand_id = :brand_id AND source = :source AND event_id = :event_id RETURNING *)
            INSERT INTO rejected_events (brand_id, rejected_id, code, message, body)
            SELECT brand_id, :rejected_id, :code, :message,
                   json_build_object('specversion', '1.0', 'source', source, 'id', event_id, 'type', type, 'time', time,
                                     'data', data || jsonb_strip_nulls(jsonb_build_object('membership_id', membership_id,
                                                                                          'charge_id', charge_id)))::text
              FROM refused"""),
        {
            "brand_id": brand_id,
            "source": source,
            "event_id": event_id,
            "code": code,
            "message": message,
            "rejected_id": uuid7(),
        },
    )

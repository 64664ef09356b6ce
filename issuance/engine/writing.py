"""Write what walks came to: a few set-based statements a batch, inside the caller's transaction."""

import json
from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.credits.codes import new_codes
from issuance.deciding.facts import Credit
from issuance.deciding.settlement import NewCredit
from issuance.engine.piecewise import Raced
from issuance.engine.read_models import project
from issuance.engine.rows import Inserting, Shared, Updating
from issuance.engine.telling import tell
from issuance.engine.walking import Walked

#: What credits of one kind have in common, in the order of `kind_of`.
SHARED_BY_CREDITS = {
    "run_id": "uuid",
    "credit_rule_id": "uuid",
    "rule_version": "integer",
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
_ISSUE = Inserting(
    """
    INSERT INTO credits (brand_id, {names}) SELECT :brand_id, {names} FROM {rows}
    ON CONFLICT ON CONSTRAINT credits_once DO NOTHING
    """,
    own={"credit_id": "uuid", "code": "text", "membership_id": "uuid", "guest_id": "uuid"},
    shared=SHARED_BY_CREDITS,
)
# What was read must still hold: redemptions and an operator's revocations do not wait for settling.
_CHANGE = Updating(
    """
    UPDATE credits c
       SET period_end = kinds.period_end, expires_at = kinds.expires_at, revoked_at = kinds.revoked_at,
           revoked_by = kinds.revoked_by, expired_at = kinds.expired_at, flagged_at = kinds.flagged_at,
           revoked_reason = CASE WHEN kinds.revoked_at IS NOT NULL
                                 THEN coalesce(kinds.revoked_reason, c.revoked_reason) END
      FROM {kinds}
     WHERE c.brand_id = :brand_id AND {its_ids} AND {its_kind}
       AND c.uses = kinds.was_uses
       AND c.redeemed_at IS NOT DISTINCT FROM kinds.was_redeemed_at
       AND c.revoked_at IS NOT DISTINCT FROM kinds.was_revoked_at
    """,
    key="c.credit_id",
    shared={
        "was_uses": "integer",
        "was_redeemed_at": "timestamptz",
        "was_revoked_at": "timestamptz",
        "period_end": "date",
        "expires_at": "timestamptz",
        "revoked_at": "timestamptz",
        "revoked_by": "text",
        "revoked_reason": "text",
        "expired_at": "timestamptz",
        "flagged_at": "timestamptz",
    },
)
_DUES = Updating(
    """
    UPDATE dues d
       SET due_at = kinds.due_at, settled_at = kinds.settled_at, shape = kinds.shape,
           attempts = 0, retry_at = NULL, last_error = NULL, quarantined_at = NULL
      FROM {kinds} WHERE d.brand_id = :brand_id AND {its_ids} AND {its_kind}
    """,
    key="d.membership_id",
    shared={"due_at": "timestamptz", "settled_at": "timestamptz", "shape": "uuid"},
)
_SOONER = Updating(
    """
    UPDATE dues d SET due_at = least(d.due_at, kinds.due_at), shape = NULL
      FROM {kinds} WHERE d.brand_id = :brand_id AND {its_ids} AND {its_kind}
    """,
    key="d.membership_id",
    shared={"due_at": "timestamptz"},
)
_STATUSES = Updating(
    """
    UPDATE memberships m SET status = kinds.status, ends_on = kinds.ends_on
      FROM {kinds} WHERE m.brand_id = :brand_id AND {its_ids} AND {its_kind}
    """,
    key="m.membership_id",
    shared={"status": "text", "ends_on": "date"},
)
_SETTLED = text("""
    UPDATE billing_events SET settled_at = clock_timestamp()
     WHERE brand_id = :brand_id AND source = :source
       AND event_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(:event_ids AS jsonb))))
""")


def write(
    connection: Connection, brand_id: UUID, walks: Sequence[Walked], *, run_id: UUID | None, by_hand: bool = False
) -> None:
    """Write all that `walks` came to. Raises Raced where a credit changed since it was read.

    A manual run (`by_hand`) is the run of its manual credits, any other of the scheduled ones.
    """
    project(connection, brand_id, walks)  # guests first: credits name them
    issue(connection, brand_id, walks, run_id=run_id, by_hand=by_hand)
    changes = {credit_id: becomes for walk in walks for credit_id, becomes in _changes(walk)}
    if _CHANGE.execute(connection, changes, brand_id=brand_id) != len(changes):
        raise Raced
    stand = {walk.membership.membership_id: (walk.status.value, walk.ends_on) for walk in walks if _moved(walk)}
    _STATUSES.execute(connection, stand, brand_id=brand_id)
    event_ids: dict[str, list[str]] = {}
    for fact in (fact for walk in walks if walk.complete for fact in walk.membership.facts if fact.unsettled):
        event_ids.setdefault(fact.order.source, []).append(fact.order.event_id)
    for source, ids in event_ids.items():
        connection.execute(_SETTLED, {"brand_id": brand_id, "source": source, "event_ids": json.dumps(ids)})
    tell(connection, brand_id, walks)
    dues = {walk.membership.membership_id: (walk.due_at, walk.now, _shape(walk)) for walk in walks}
    _DUES.execute(connection, dues, brand_id=brand_id)


def issue(
    connection: Connection, brand_id: UUID, walks: Sequence[Walked], *, run_id: UUID | None, by_hand: bool = False
) -> None:
    """Insert the credits that walks issued, each in its final state."""
    codes = iter(new_codes(sum(len(walk.issued) for walk in walks)))
    rows = []
    for walk in walks:
        for credit, new in walk.issued:
            own = (credit.credit_id, next(codes), walk.membership.membership_id, credit.key.guest_id)
            rows.append((own, kind_of(walk, credit, new, run_id if credit.manual is by_hand else None)))
    _ISSUE.execute(connection, rows, brand_id=brand_id)


def kind_of(walk: Walked, credit: Credit, new: NewCredit, run_id: UUID | None) -> Shared:
    """What a credit that a walk issued has in common with others of its kind (SHARED_BY_CREDITS)."""
    return (
        run_id,
        credit.key.credit_rule_id,
        credit.rule_version,
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
        _reason(walk, credit.credit_id),
        credit.expired_at,
    )


def wake_by(connection: Connection, brand_id: UUID, walks: Sequence[Walked]) -> None:
    """See to it that memberships fall due when credits that were issued beside their settling expire; they are
    not what their shape says any more."""
    rows = {walk.membership.membership_id: (walk.due_at,) for walk in walks}
    _SOONER.execute(connection, rows, brand_id=brand_id)


def _changes(walk: Walked) -> Iterator[tuple[UUID, Shared]]:
    """The credits that were out before the walk and changed in it."""
    fresh = {credit.credit_id for credit, _ in walk.issued}
    for credit_id, (before, after, _) in walk.changed.items():
        if credit_id not in fresh:
            was = (before.uses, before.redeemed_at, before.revoked_at)
            revoked = (after.revoked_at, after.revoked_by, _reason(walk, credit_id))
            yield credit_id, (*was, after.period_end, after.expires_at, *revoked, after.expired_at, after.flagged_at)


def _reason(walk: Walked, credit_id: UUID) -> str | None:
    """Why facts revoked a credit in the course of a walk."""
    changed = walk.changed.get(credit_id)
    if changed is None or changed[1].revoked_by != "facts" or changed[2] is None:
        return None
    return changed[2].value


def _shape(walk: Walked) -> UUID | None:
    """What a walk leaves a membership as; what was issued by hand on top of it is not in its shape."""
    return None if any(credit.manual for credit, _ in walk.issued) else walk.shape


def _moved(walk: Walked) -> bool:
    row = walk.membership.row
    return (walk.status.value, walk.ends_on) != (row.status, row.ends_on)

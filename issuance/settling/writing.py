"""Write what walks came to: a few set-based statements a batch, inside the caller's transaction.

Rows travel in two parts, because a batch has many rows of few kinds: what is a row's own, and the number
of its kind; and once a kind, what all its rows share.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from issuance.deciding.facts import Credit
from issuance.deciding.settlement import NewCredit
from issuance.settling.codes import new_codes
from issuance.settling.piecewise import Raced
from issuance.settling.projecting import project
from issuance.settling.telling import tell
from issuance.settling.walking import Walked

#: A row: what is its own, and what it shares with others of its kind.
Rows = Sequence[tuple[tuple[Any, ...], tuple[Any, ...]]]


class _Statement:
    """A statement over rows of the columns `own` and `shared`, each a name and its PostgreSQL type.

    In `sql`, `{rows}` stands for the rows and `{names}` for all column names. What is updated is named by its
    key twice, as `= ANY` too, so that it is found by its index whatever the planner believes of sizes.
    """

    def __init__(self, sql: str, own: dict[str, str], shared: dict[str, str]) -> None:
        self._own, self._shared = own, tuple(shared)
        rows = f"{unnest('own', **own, kind='integer')} JOIN {unnest('kinds', kind='integer', **shared)} USING (kind)"
        self._text: TextClause = text(sql.format(rows=rows, names=", ".join([*own, *shared])))

    def execute(self, connection: Connection, rows: Rows, **more: object) -> int:
        """How many rows it touched."""
        if not rows:
            return 0
        kinds: dict[tuple[Any, ...], int] = {}
        numbers = [kinds.setdefault(shared, len(kinds)) for _, shared in rows]
        parameters: dict[str, object] = {**more, "own_kind": numbers, "kinds_kind": list(range(len(kinds)))}
        own = zip(*(own for own, _ in rows), strict=True)
        for (name, type_of), column in zip(self._own.items(), own, strict=True):
            parameters[f"own_{name}"] = id_array(column) if type_of == "uuid" else list(column)
        for name, column in zip(self._shared, zip(*kinds, strict=True), strict=True):
            parameters[f"kinds_{name}"] = list(column)
        return connection.execute(self._text, parameters).rowcount


def unnest(alias: str, **columns: str) -> str:
    """One array parameter a column, typed so that all-NULL arrays pass."""
    arrays = ", ".join(f"CAST(:{alias}_{name} AS {kind}[])" for name, kind in columns.items())
    return f"unnest({arrays}) AS {alias} ({', '.join(columns)})"


def id_array(ids: Iterable[UUID | str]) -> str:
    """Ids, none of them NULL, or codes, as PostgreSQL writes an array: many times quicker than a list."""
    return "{" + ",".join(map(str, ids)) + "}"


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
_ISSUE = _Statement(
    """
    INSERT INTO credits (brand_id, {names}) SELECT :brand_id, {names} FROM {rows}
    ON CONFLICT ON CONSTRAINT credits_once DO NOTHING
    """,
    own={"credit_id": "uuid", "code": "text", "membership_id": "uuid", "guest_id": "uuid"},
    shared=SHARED_BY_CREDITS,
)
# What was read must still hold: redemptions and an operator's revocations do not wait for settling.
_CHANGE = _Statement(
    """
    UPDATE credits c
       SET period_end = new.period_end, expires_at = new.expires_at, revoked_at = new.revoked_at,
           revoked_by = new.revoked_by, expired_at = new.expired_at, flagged_at = new.flagged_at,
           revoked_reason = CASE WHEN new.revoked_at IS NOT NULL THEN coalesce(new.revoked_reason, c.revoked_reason) END
      FROM (SELECT * FROM {rows}) new
     WHERE c.brand_id = :brand_id AND c.credit_id = ANY(:own_credit_id) AND c.credit_id = new.credit_id
       AND c.uses = new.was_uses
       AND c.redeemed_at IS NOT DISTINCT FROM new.was_redeemed_at
       AND c.revoked_at IS NOT DISTINCT FROM new.was_revoked_at
    """,
    own={"credit_id": "uuid"},
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
_DUES = _Statement(
    """
    UPDATE dues d
       SET due_at = new.due_at, settled_at = new.settled_at, shape = new.shape,
           attempts = 0, retry_at = NULL, last_error = NULL, quarantined_at = NULL
      FROM (SELECT * FROM {rows}) new
     WHERE d.brand_id = :brand_id AND d.membership_id = ANY(:own_membership_id)
       AND d.membership_id = new.membership_id
    """,
    own={"membership_id": "uuid"},
    shared={"due_at": "timestamptz", "settled_at": "timestamptz", "shape": "uuid"},
)
_SOONER = _Statement(
    """
    UPDATE dues d SET due_at = least(d.due_at, new.due_at), shape = NULL
      FROM (SELECT * FROM {rows}) new
     WHERE d.brand_id = :brand_id AND d.membership_id = ANY(:own_membership_id)
       AND d.membership_id = new.membership_id
    """,
    own={"membership_id": "uuid"},
    shared={"due_at": "timestamptz"},
)
_STATUSES = _Statement(
    """
    UPDATE memberships m SET status = new.status, ends_on = new.ends_on
      FROM (SELECT * FROM {rows}) new
     WHERE m.brand_id = :brand_id AND m.membership_id = ANY(:own_membership_id)
       AND m.membership_id = new.membership_id
    """,
    own={"membership_id": "uuid"},
    shared={"status": "text", "ends_on": "date"},
)
_SETTLED = _Statement(
    """
    UPDATE billing_events e SET settled_at = clock_timestamp()
      FROM (SELECT * FROM {rows}) new
     WHERE e.brand_id = :brand_id AND e.source = ANY(:kinds_source) AND e.event_id = ANY(:own_event_id)
       AND e.source = new.source AND e.event_id = new.event_id
    """,
    own={"event_id": "text"},
    shared={"source": "text"},
)


def write(
    connection: Connection, brand_id: UUID, walks: Sequence[Walked], *, run_id: UUID | None, by_hand: bool = False
) -> None:
    """Write all that `walks` came to. Raises Raced where a credit changed since it was read.

    A manual run (`by_hand`) is the run of its manual credits, any other of the scheduled ones.
    """
    project(connection, brand_id, walks)  # guests first: credits name them
    issue(connection, brand_id, walks, run_id=run_id, by_hand=by_hand)
    changes = [row for walk in walks for row in _changes(walk)]
    if _CHANGE.execute(connection, changes, brand_id=brand_id) != len(changes):
        raise Raced
    stood = [((walk.membership.membership_id,), (walk.status.value, walk.ends_on)) for walk in walks if _moved(walk)]
    _STATUSES.execute(connection, stood, brand_id=brand_id)
    facts = [fact for walk in walks if walk.complete for fact in walk.membership.facts if fact.unsettled]
    _SETTLED.execute(connection, [((f.order.event_id,), (f.order.source,)) for f in facts], brand_id=brand_id)
    tell(connection, brand_id, walks)
    # What was issued by hand on top of a walk is not in its shape.
    dues = [
        ((walk.membership.membership_id,), (walk.due_at, walk.now, None if by_hand else walk.shape)) for walk in walks
    ]
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


def kind_of(walk: Walked, credit: Credit, new: NewCredit, run_id: UUID | None) -> tuple[Any, ...]:
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
    rows = [((walk.membership.membership_id,), (walk.due_at,)) for walk in walks]
    _SOONER.execute(connection, rows, brand_id=brand_id)


def _changes(walk: Walked) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """The credits that were out before the walk and changed in it."""
    fresh = {credit.credit_id for credit, _ in walk.issued}
    for credit_id, (before, after, _) in walk.changed.items():
        if credit_id not in fresh:
            was = (before.uses, before.redeemed_at, before.revoked_at)
            revoked = (after.revoked_at, after.revoked_by, _reason(walk, credit_id))
            yield (credit_id,), (*was, after.period_end, after.expires_at, *revoked, after.expired_at, after.flagged_at)


def _reason(walk: Walked, credit_id: UUID) -> str | None:
    """Why facts revoked a credit in the course of a walk."""
    changed = walk.changed.get(credit_id)
    if changed is None or changed[1].revoked_by != "facts" or changed[2] is None:
        return None
    return changed[2].value


def _moved(walk: Walked) -> bool:
    row = walk.membership.row
    return (walk.status.value, walk.ends_on) != (row.status, row.ends_on)

"""Settle what is due and alike at one stroke: one membership is decided for all of its shape, and what it
gets is written for all of them by statements that name no single one.

A membership that was settled is left with its shape (`sharing`) and keeps it until there is news of it. So
memberships that fall due with one shape have one future, and only one of them has to be loaded. Credits may
have been redeemed or revoked since: that takes nothing but their expiry from what happens, and the statement
that marks them expired sees it for itself.
"""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from uuid_utils import uuid7

from issuance import outbox
from issuance.clock import BrandClock
from issuance.deciding.reasons import Reason
from issuance.log import logger
from issuance.settling import attempts
from issuance.settling.codes import new_codes
from issuance.settling.loading import BY_IDS_UNLOCKED, Membership, load, load_rules
from issuance.settling.piecewise import Raced, write_piecewise
from issuance.settling.rows import id_array, kinds_of, unnest
from issuance.settling.sharing import SharedWalks
from issuance.settling.walking import Walked
from issuance.settling.writing import SHARED_BY_CREDITS, kind_of

#: Fewer than these are settled each for itself: finding one to decide for them would cost as much.
_FEWEST = 4
#: How many of a shape are looked at for one that still is what the shape says.
_LOOKED_AT = 3

# The row in dues is the lock; what somebody else is settling is left out and stays due. Who has news, or
# failed last time, is like no other.
_DUE = text("""
    WITH locked AS MATERIALIZED (
             SELECT d.membership_id, d.due_at, d.settled_at,
                    CASE WHEN d.attempts = :attempts AND NOT EXISTS (
                              SELECT FROM billing_events e WHERE e.brand_id = :brand_id
                                 AND e.membership_id = d.membership_id AND e.settled_at IS NULL)
                         THEN d.shape END AS shape
               FROM dues d
              WHERE d.brand_id = :brand_id AND d.membership_id BETWEEN :first_id AND :last_id AND d.due_at <= :now
                AND d.quarantined_at IS NULL
                AND (:attempts > 0 OR d.retry_at IS NULL OR d.retry_at <= clock_timestamp())
              ORDER BY d.membership_id
                FOR UPDATE OF d SKIP LOCKED)
    SELECT shape, CASE WHEN shape IS NOT NULL THEN due_at END AS due_at,
           CASE WHEN shape IS NOT NULL THEN settled_at END AS settled_at,
           count(*) AS size, CAST(array_agg(membership_id) AS text) AS ids
      FROM locked
     GROUP BY 1, 2, 3
""")
_KIND_OF_CREDIT = {"kind": "integer", "place": "integer", **SHARED_BY_CREDITS}
_SHARED = ", ".join(SHARED_BY_CREDITS)
_ISSUE = text(f"""
    INSERT INTO credits (brand_id, credit_id, code, membership_id, guest_id, {_SHARED})
    SELECT :brand_id, fresh.credit_id, fresh.code, g.membership_id, g.guest_id, {_SHARED}
      FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS alike (membership_id, nth)
      JOIN guests g ON g.brand_id = :brand_id AND g.membership_id = alike.membership_id
      JOIN {unnest("kinds", **_KIND_OF_CREDIT)} USING (place)
      JOIN unnest(CAST(:credit_ids AS uuid[]), CAST(:codes AS text[])) WITH ORDINALITY AS fresh (credit_id, code, nth)
        ON fresh.nth = (alike.nth - 1) * :each + kinds.kind
    ON CONFLICT ON CONSTRAINT credits_once DO NOTHING
""")
# One period's credits a statement, so that the idempotency key's index finds just them, however many lie behind.
_EXPIRE = text("""
    UPDATE credits SET expired_at = :expired_at
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND credit_rule_id = :rule_id AND period_start = :period_start AND reissue = :reissue
       AND redeemed_at IS NULL AND revoked_at IS NULL AND expired_at IS NULL
""")
_STATUSES = text("""
    UPDATE memberships SET status = :status, ends_on = :ends_on
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND (status, ends_on) IS DISTINCT FROM (:status, CAST(:ends_on AS date))
""")
_DUES = text("""
    UPDATE dues SET due_at = :due_at, settled_at = :settled_at, shape = :shape, retry_at = NULL, last_error = NULL
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
""")


#: A rule, a period's start, a reissue, and when those credits expired in a walk, None if they did not.
Fate = tuple[UUID, date, int, datetime | None]


#: A membership's id, and the walk of the one that stands for it.
Alike = tuple[str, Walked]


class Effect(NamedTuple):
    """What happens to memberships at one stroke: the credits they get (rows of _KIND_OF_CREDIT), which of theirs
    expire, and the status and end that they have from now on, None if they had them before."""

    issued: tuple[tuple[Any, ...], ...]
    expired: frozenset[Fate]
    moved: tuple[str, date | None] | None


def settle_alike(
    connection: Connection, brand_id: UUID, clock: BrandClock, run_id: UUID, *, attempt_counted: bool, **within: UUID
) -> tuple[Counter[Reason], list[UUID]]:
    """Lock what is due `within` first_id and last_id, and settle those that are alike.

    Returns new outcomes by reason, and the locked ones that are left to be settled each for itself.
    """
    which = {"brand_id": brand_id, "now": clock.now, "attempts": int(attempt_counted), **within}
    found = connection.execute(_DUE, which).all()
    counts: Counter[Reason] = Counter()
    left: list[UUID] = []
    shapes = []
    for row in found:
        if row.shape is None or row.size < _FEWEST:
            left += _ids(row)
        else:
            shapes.append(row)
    if shapes and outbox.listened_to(connection, brand_id):
        # Webhooks are told of each credit.
        return counts, left + [membership_id for row in shapes for membership_id in _ids(row)]
    together: dict[Effect, list[Alike]] = {}
    for row, walked in _decided(connection, brand_id, clock, shapes):
        if walked is None:
            left += _ids(row)
        else:
            # Shapes differ by what lies behind them; what happens now is mostly one and the same.
            ids = row.ids[1:-1].split(",")
            together.setdefault(_effect(walked, run_id), []).extend((one, walked) for one in ids)
            counts += Counter({reason: n * row.size for reason, n in walked.counts.items()})
    for effect, alike in together.items():
        for (membership_id, walked), error in write_piecewise(
            connection, alike, partial(_write, connection, brand_id, effect)
        ):
            counts -= walked.counts
            if isinstance(error, Raced):
                left.append(UUID(membership_id))
            else:
                attempts.failed(connection, brand_id, UUID(membership_id), error, counted=attempt_counted)
                counts[Reason.ERROR] += 1
    return counts, left


def _ids(row: Row[Any]) -> list[UUID]:
    return [UUID(membership_id) for membership_id in row.ids[1:-1].split(",")]


def _decided(
    connection: Connection, brand_id: UUID, clock: BrandClock, shapes: Sequence[Row[Any]]
) -> list[tuple[Row[Any], Walked | None]]:
    """Each shape with the walk of one that is what the shape says, None where none was found or it has changes
    to make that are not all alike."""
    if not shapes:
        return []
    first = [[UUID(one) for one in row.ids[1:-1].split(",", _LOOKED_AT)[:_LOOKED_AT]] for row in shapes]
    ids = [membership_id for some in first for membership_id in some]
    loaded = load(connection, brand_id, clock.zone, BY_IDS_UNLOCKED, ids=id_array(ids))
    shared = SharedWalks(load_rules(connection, brand_id, loaded, hold=True), clock)
    by_id = {membership.membership_id: membership for membership in loaded}
    return [(row, _walk(shared, row, [by_id[one] for one in some])) for row, some in zip(shapes, first, strict=True)]


def _walk(shared: SharedWalks, row: Row[Any], some: Sequence[Membership]) -> Walked | None:
    for membership in some:
        assert membership.settled_at is not None, "a shape is left by a settling"
        if shared.shape(membership, membership.credits, membership.settled_at) == row.shape:
            try:
                walked = shared.walk(membership)
            except Exception as error:
                # Each for itself, so that the failure is noted with a membership.
                logger.warning("shape_not_decided", size=row.size, error=type(error).__name__)
                return None
            return walked if _only_issues_and_expires(walked) else None
    return None


def _only_issues_and_expires(walked: Walked) -> bool:
    """Whether all that a walk does is to issue and to expire, and to expire all guests' credits of a period alike."""
    if walked.shape is None:
        return False
    if any(after != replace(before, expired_at=after.expired_at) for before, after, _ in walked.changed.values()):
        return False
    return len(_fates(walked)) == len({(rule_id, start, reissue) for rule_id, start, reissue, _ in _fates(walked)})


def _fates(walked: Walked) -> set[Fate]:
    """Which rule's credits of which period and reissue expire when in a walk, of those that were open before it."""
    fates = set()
    for before in walked.membership.credits:
        if before.is_open:
            _, after, _ = walked.changed.get(before.credit_id, (before, before, None))
            rule_id, _, period_start, reissue = before.key
            fates.add((rule_id, period_start, reissue, after.expired_at))
    return fates


def _effect(walked: Walked, run_id: UUID) -> Effect:
    places = {UUID(guest["guest_id"]): place for place, guest in enumerate(walked.membership.party)}
    issued = tuple(
        (kind, places[credit.key.guest_id], *kind_of(walked, credit, new, run_id))
        for kind, (credit, new) in enumerate(walked.issued, start=1)
    )
    row, stands = walked.membership.row, (walked.status.value, walked.ends_on)
    moved = stands if stands != (row.status, row.ends_on) else None
    return Effect(issued, frozenset(fate for fate in _fates(walked) if fate[-1] is not None), moved)


def _write(connection: Connection, brand_id: UUID, effect: Effect, some: Sequence[Alike]) -> None:
    """Write for many what the walks of those who stand for them came to, which is one and the same. Raises Raced
    where one was not what its shape says."""
    alike = {"brand_id": brand_id, "ids": id_array(membership_id for membership_id, _ in some)}
    if effect.issued:
        each = len(effect.issued)
        codes = new_codes(each * len(some))
        fresh = {"each": each, "credit_ids": id_array(str(uuid7()) for _ in codes), "codes": id_array(codes)}
        issued = connection.execute(_ISSUE, {**alike, **fresh, **kinds_of(_KIND_OF_CREDIT, effect.issued)})
        if issued.rowcount != len(codes):
            raise Raced
    for rule_id, period_start, reissue, expired_at in effect.expired:
        which = {"rule_id": rule_id, "period_start": period_start, "reissue": reissue}
        connection.execute(_EXPIRE, {**alike, **which, "expired_at": expired_at})
    if effect.moved is not None:
        status, ends_on = effect.moved
        connection.execute(_STATUSES, {**alike, "status": status, "ends_on": ends_on})
    for walked in {id(walked): walked for _, walked in some}.values():
        ids = id_array(membership_id for membership_id, like in some if like is walked)
        left_with = {"due_at": walked.due_at, "settled_at": walked.now, "shape": walked.shape}
        connection.execute(_DUES, {"brand_id": brand_id, "ids": ids, **left_with})

"""Settle what is due and alike at one stroke: one membership is decided for all of its shape, and what it
gets is written for all of them by statements that name no single one.

A membership that was settled is left with its shape (`sharing`) and keeps it until there is news of it. So
memberships that fall due with one shape have one future, and only one of them has to be loaded. Many that were left
alike make a cohort (`cohorts`), and are left in its next state by one row. Credits may have been redeemed or revoked
since: that takes nothing but their expiry from what happens, and the statement that marks them expired sees it for
itself.
"""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from itertools import chain, cycle
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from uuid_utils import uuid7

from issuance import outbox
from issuance.clock import BrandClock
from issuance.deciding.reasons import Reason
from issuance.log import logger
from issuance.settling import attempts, cohorts
from issuance.settling.codes import new_codes
from issuance.settling.cohorts import Group, State
from issuance.settling.loading import BY_IDS_UNLOCKED, Membership, load, load_rules
from issuance.settling.piecewise import Raced, write_piecewise
from issuance.settling.rows import columns_of, id_array, unnest
from issuance.settling.sharing import SharedWalks
from issuance.settling.telling import Happened, new, tell_of
from issuance.settling.walking import Walked
from issuance.settling.writing import SHARED_BY_CREDITS, kind_of

#: Fewer than these are settled each for itself: finding one to decide for them would cost as much.
_FEWEST = 4
#: How many of a shape are looked at, at the first, second and third try, for one that still is what the shape says.
_LOOKED_AT = (1, 4, 16)

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
           CAST(array_agg(membership_id) AS text) AS ids
      FROM locked
     GROUP BY 1, 2, 3
""")
_KIND_OF_CREDIT = {"kind": "integer", "place": "integer", **SHARED_BY_CREDITS}
_OWN_OF_CREDIT = {"membership_id": "uuid", "kind": "integer", "credit_id": "uuid", "code": "text"}
_SHARED = ", ".join(SHARED_BY_CREDITS)
# The guests of a range of ids: whatever the planner thinks of sizes, it does not read the brand's others. And it joins
# them by hashing: after an import, or where a range lies between two steps of its histogram, it takes them for one row,
# and would look through all that is fresh for each of them.
_BY_HASHING = text("SET LOCAL enable_nestloop = off")
_AS_YOU_LIKE = text("SET LOCAL enable_nestloop = on")
_ISSUE = text(f"""
    INSERT INTO credits (brand_id, credit_id, code, membership_id, guest_id, {_SHARED})
    SELECT :brand_id, fresh.credit_id, fresh.code, g.membership_id, g.guest_id, {_SHARED}
      FROM {unnest("fresh", **_OWN_OF_CREDIT)}
      JOIN {unnest("kinds", **_KIND_OF_CREDIT)} USING (kind)
      JOIN guests g ON g.brand_id = :brand_id AND g.membership_id BETWEEN :first_id AND :last_id
       AND (g.membership_id, g.place) = (fresh.membership_id, kinds.place)
""")
# One period's credits a statement, so that the idempotency key's index finds just them, however many lie behind.
_EXPIRE = text("""
    UPDATE credits SET expired_at = :expired_at
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND credit_rule_id = :rule_id AND period_start = :period_start AND reissue = :reissue
       AND redeemed_at IS NULL AND revoked_at IS NULL AND expired_at IS NULL
""")
_EXPIRE_AND_SAY = text(f"{_EXPIRE.text} RETURNING credit_id")
_STATUSES = text("""
    UPDATE memberships SET status = :status, ends_on = :ends_on
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
       AND (status, ends_on) IS DISTINCT FROM (:status, CAST(:ends_on AS date))
""")
#: A rule, a period's start, a reissue, and when those credits expired in a walk, None if they did not.
Fate = tuple[UUID, date, int, datetime | None]


class Effect(NamedTuple):
    """What happens to memberships at one stroke: the credits they get (rows of _KIND_OF_CREDIT), which of theirs
    expire, and the status and end that they have from now on, None if they had them before."""

    issued: tuple[tuple[Any, ...], ...]
    expired: frozenset[Fate]
    moved: tuple[str, date | None] | None


#: A membership's id, and the walk of the one that stands for it.
Alike = tuple[str, Walked]


def settle_alike(
    connection: Connection, brand_id: UUID, clock: BrandClock, run_id: UUID, *, attempt_counted: bool, **within: UUID
) -> tuple[Counter[Reason], list[UUID]]:
    """Lock what is due `within` first_id and last_id, and settle those that are alike.

    Returns new outcomes by reason, and the locked ones that are left to be settled each for itself. Whose attempt
    was counted is of no cohort.
    """
    groups, left = _alone(connection, brand_id, clock, attempt_counted, within)
    held = [] if attempt_counted else cohorts.hold(connection, brand_id, clock.now, **within)
    groups += (Group(cohort.state, cohort.members, cohort.cohort_id) for cohort in held if cohort.members)
    left += (one for cohort in held for one in cohort.with_news)
    wanted = outbox.listened_to(connection, brand_id) if groups else frozenset()
    together: dict[tuple[Effect, datetime], list[tuple[Group, Walked]]] = {}
    for group, walked in _decided(connection, brand_id, clock, groups):
        if walked is None or ("credit.skipped" in wanted and walked.skipped):
            left += group.ids
        else:
            # Shapes differ by what lies behind them; what happens now is mostly one and the same.
            together.setdefault((_effect(walked, run_id), walked.now), []).append((group, walked))
    counts: Counter[Reason] = Counter()
    failed: dict[str, Exception] = {}
    for (effect, _), like in together.items():
        for group, walked in like:
            counts += Counter({reason: n * len(group.ids) for reason, n in walked.counts.items()})
        alike = sorted(((id_, walked) for group, walked in like for id_ in group.ids), key=itemgetter(0))
        for (membership_id, walked), error in write_piecewise(
            connection, alike, partial(_write, connection, brand_id, effect, wanted)
        ):
            counts -= walked.counts
            if isinstance(error, Raced):
                left.append(membership_id)
            else:
                failed[membership_id] = error
                counts[Reason.ERROR] += 1
    if held:
        cohorts.leave(connection, brand_id, [*left, *failed])
    for membership_id, error in failed.items():
        attempts.failed(connection, brand_id, UUID(membership_id), error, counted=attempt_counted)
    settled = _settled(together, {*left, *failed})
    cohorts.move_on(connection, brand_id, settled, alone=attempt_counted)
    stay = {group.cohort_id for group, _ in settled}
    cohorts.forget(connection, brand_id, [cohort.cohort_id for cohort in held if cohort.cohort_id not in stay])
    return counts, [UUID(one) for one in left]


def _alone(
    connection: Connection, brand_id: UUID, clock: BrandClock, attempt_counted: bool, within: dict[str, UUID]
) -> tuple[list[Group], list[str]]:
    """Lock what is of no cohort and due: groups that are alike, and the others."""
    which = {"brand_id": brand_id, "now": clock.now, "attempts": int(attempt_counted), **within}
    groups: list[Group] = []
    left: list[str] = []
    for row in connection.execute(_DUE, which):
        ids = row.ids[1:-1].split(",")
        if row.shape is None or len(ids) < _FEWEST:
            left += ids
        else:
            groups.append(Group(State(row.shape, row.due_at, row.settled_at), ids))
    return groups, left


def _settled(
    together: dict[tuple[Effect, datetime], list[tuple[Group, Walked]]], apart: Set[str]
) -> list[tuple[Group, State]]:
    """Each group without those `apart`, if any are in it then, and how it is left."""
    settled = []
    for group, walked in (one for like in together.values() for one in like):
        assert walked.shape is not None, "what is alike is left alike"
        ids = [membership_id for membership_id in group.ids if membership_id not in apart] if apart else group.ids
        if ids:
            settled.append((group._replace(ids=ids), State(walked.shape, walked.due_at, walked.now)))
    return settled


def _decided(
    connection: Connection, brand_id: UUID, clock: BrandClock, groups: Sequence[Group]
) -> Iterator[tuple[Group, Walked | None]]:
    """Each group with the walk of one that is what its shape says, None where none was found or it has changes
    to make that are not all alike."""
    start = 0
    for size in _LOOKED_AT:
        looked_at = [group.ids[start : start + size] for group in groups]
        ids = id_array(chain.from_iterable(looked_at))
        loaded = load(connection, brand_id, clock.zone, BY_IDS_UNLOCKED, ids=ids)
        shared = SharedWalks(load_rules(connection, brand_id, loaded, hold=True), clock)
        by_id = {str(membership.membership_id): membership for membership in loaded}
        others = []
        for group, some in zip(groups, looked_at, strict=True):
            one = next((by_id[id_] for id_ in some if _is_still(shared, by_id[id_], group.state.shape)), None)
            if one is None:
                others.append(group)
            else:
                yield group, _walk(shared, one, len(group.ids))
        groups = others
        start += size
        if not groups:
            return
    yield from ((group, None) for group in groups)


def _is_still(shared: SharedWalks, membership: Membership, shape: UUID) -> bool:
    """Whether a membership is what the settling that left it said."""
    assert membership.settled_at is not None, "a shape is left by a settling"
    return shared.shape(membership, membership.credits, membership.settled_at) == shape


def _walk(shared: SharedWalks, membership: Membership, size: int) -> Walked | None:
    try:
        walked = shared.walk(membership)
    except Exception as error:
        # Each for itself, so that the failure is noted with a membership.
        logger.warning("shape_not_decided", size=size, error=type(error).__name__)
        return None
    return walked if _only_issues_and_expires(walked) else None


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


def _write(connection: Connection, brand_id: UUID, effect: Effect, wanted: Set[str], some: Sequence[Alike]) -> None:
    """Write for many, in the order of their ids, what the walks of those who stand for them came to, which is one and
    the same. Raises Raced where one was not what its shape says."""
    memberships = [membership_id for membership_id, _ in some]
    alike = {"brand_id": brand_id, "ids": id_array(memberships)}
    _, like = some[0]
    happened: list[Happened] = []
    if effect.issued:
        credit_ids = _issue(connection, brand_id, effect, memberships)
        if wanted:
            kinds = cycle(credit for credit, _ in like.issued)
            happened += (one for id_, credit in zip(credit_ids, kinds, strict=False) for one in new(UUID(id_), credit))
    for rule_id, period_start, reissue, expired_at in effect.expired:
        assert expired_at is not None, "an effect holds those that expired"
        which = {"rule_id": rule_id, "period_start": period_start, "reissue": reissue, "expired_at": expired_at}
        if wanted:
            expired = connection.scalars(_EXPIRE_AND_SAY, {**alike, **which})
            happened += (Happened(expired_at, "credit.expired", credit_id) for credit_id in expired)
        else:
            connection.execute(_EXPIRE, {**alike, **which})
    if effect.moved is not None:
        status, ends_on = effect.moved
        connection.execute(_STATUSES, {**alike, "status": status, "ends_on": ends_on})
    tell_of(connection, brand_id, wanted, happened, like.now)


def _issue(connection: Connection, brand_id: UUID, effect: Effect, memberships: Sequence[str]) -> list[str]:
    """The ids of the credits issued: of the first membership, kind by kind, then of the next."""
    each = len(effect.issued)
    codes = new_codes(each * len(memberships))
    credit_ids = [str(uuid7()) for _ in codes]
    fresh = {
        "fresh_membership_id": id_array(one for one in memberships for _ in range(each)),
        "fresh_kind": id_array(kind for _ in memberships for kind in range(1, each + 1)),
        "fresh_credit_id": id_array(credit_ids),
        "fresh_code": id_array(codes),
    }
    within = {"brand_id": brand_id, "first_id": memberships[0], "last_id": memberships[-1]}
    connection.execute(_BY_HASHING)
    try:
        issued = connection.execute(_ISSUE, {**within, **fresh, **columns_of("kinds", _KIND_OF_CREDIT, effect.issued)})
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation) and error.orig.diag.constraint_name == "credits_once":
            raise Raced from error  # somebody has it already: each for itself finds out who
        raise
    connection.execute(_AS_YOU_LIKE)
    assert issued.rowcount == len(codes), "a shape says which guests there are"
    return credit_ids

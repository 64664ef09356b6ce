"""Settle what is due and alike at one stroke: one membership is decided for all of its shape, and what happens to it
is written for all of them (`effects`).

A membership that was settled is left with its shape (`sharing`) and keeps it until there is news of it. So
memberships that fall due with one shape have one future, and only one of them has to be loaded. Many that were left
alike make a cohort (`cohorts`), and are left in its next state by one row.
"""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from datetime import datetime
from functools import partial
from itertools import chain
from operator import itemgetter
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.deciding.reasons import Reason
from issuance.engine import attempts, cohorts
from issuance.engine.cohorts import Group, State
from issuance.engine.effects import Effect, effect_of, only_issues_and_expires, write_for_all
from issuance.engine.loading import BY_IDS_UNLOCKED, Membership, load, load_rules
from issuance.engine.piecewise import Raced, write_piecewise
from issuance.engine.rows import id_array
from issuance.engine.sharing import SharedWalks
from issuance.engine.walking import Walked
from issuance.log import logger
from issuance.tenancy.clock import BrandClock
from issuance.webhooks import outbox

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
            together.setdefault((effect_of(walked, run_id), walked.now), []).append((group, walked))
    counts: Counter[Reason] = Counter()
    failed: dict[str, Exception] = {}
    for (effect, _), like in together.items():
        for group, walked in like:
            counts += Counter({reason: n * len(group.ids) for reason, n in walked.counts.items()})
        alike = sorted(((id_, walked) for group, walked in like for id_ in group.ids), key=itemgetter(0))
        for (membership_id, walked), error in write_piecewise(
            connection, alike, partial(write_for_all, connection, brand_id, effect, wanted)
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
    return walked if only_issues_and_expires(walked) else None

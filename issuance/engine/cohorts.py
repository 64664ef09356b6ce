"""Cohorts: memberships that were left alike and wait for one instant. What all of them wait for stands in one row, so
that a run writes that row instead of one a membership.

Whoever settles a cohort holds its row alone. Whoever has to do with one of its members by itself lets it leave first,
which shares the row's lock: so a member that left is never settled with the others, nor one of them without them.
"""

# ruff: noqa: S608 - nothing but what is written here goes into the statements

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, TextClause, text
from uuid_utils.compat import uuid7

from issuance.engine.rows import columns_of, id_array, unnest

#: Fewer than these make no new cohort.
FEWEST = 20
#: Between two of these a run would have to settle a membership anew.
_TRIES = 3

# The cohort before the due: everybody locks them in this order.
_LEAVE = text("""
    WITH shared AS MATERIALIZED (
         SELECT c.cohort_id, c.due_at, c.settled_at, c.shape
           FROM cohorts c
          WHERE c.brand_id = :brand_id
            AND c.cohort_id IN (SELECT d.cohort_id FROM dues d
                                 WHERE d.brand_id = :brand_id AND d.membership_id = ANY(CAST(:ids AS uuid[])))
          ORDER BY c.cohort_id
            FOR SHARE)
    UPDATE dues d
       SET cohort_id = NULL, due_at = shared.due_at, settled_at = shared.settled_at, shape = shared.shape
      FROM shared
     WHERE d.brand_id = :brand_id AND d.membership_id = ANY(CAST(:ids AS uuid[])) AND d.cohort_id = shared.cohort_id
""")
_HOLD = text("""
    SELECT cohort_id, due_at, settled_at, shape FROM cohorts
     WHERE brand_id = :brand_id AND first_id BETWEEN :first_id AND :last_id AND due_at <= :now
     ORDER BY cohort_id
       FOR UPDATE SKIP LOCKED
""")
# Asked once they are held: whoever left before is not among them.
_MEMBERS = text("""
    SELECT d.cohort_id, CAST(array_agg(d.membership_id) AS text) AS ids,
           EXISTS (SELECT FROM billing_events e WHERE e.brand_id = :brand_id AND e.membership_id = d.membership_id
                      AND e.settled_at IS NULL) AS have_news
      FROM dues d
     WHERE d.brand_id = :brand_id AND d.cohort_id = ANY(CAST(:cohort_ids AS uuid[]))
     GROUP BY d.cohort_id, have_news
""")
_STATE = {"shape": "uuid", "due_at": "timestamptz", "settled_at": "timestamptz"}
_FORM = text(f"""
    INSERT INTO cohorts (brand_id, cohort_id, first_id, shape, due_at, settled_at)
    SELECT :brand_id, new.* FROM {unnest("new", cohort_id="uuid", first_id="uuid", **_STATE)}
""")
_MOVE = text(f"""
    UPDATE cohorts c SET shape = new.shape, due_at = new.due_at, settled_at = new.settled_at
      FROM {unnest("new", cohort_id="uuid", **_STATE)}
     WHERE c.brand_id = :brand_id AND c.cohort_id = new.cohort_id
""")
# Those whose shapes were `was`, of no cohort so far: where each is left, in a cohort or not.
_LEFT = text("""
    UPDATE dues d
       SET due_at = (CAST(:new_due_at AS timestamptz[]))[array_position(CAST(:new_was AS uuid[]), d.shape)],
           settled_at = (CAST(:new_settled_at AS timestamptz[]))[array_position(CAST(:new_was AS uuid[]), d.shape)],
           shape = (CAST(:new_shape AS uuid[]))[array_position(CAST(:new_was AS uuid[]), d.shape)],
           cohort_id = (CAST(:new_cohort_id AS uuid[]))[array_position(CAST(:new_was AS uuid[]), d.shape)],
           retry_at = NULL, last_error = NULL
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
""")
_FORGET = text("""
    DELETE FROM cohorts WHERE brand_id = :brand_id AND cohort_id = ANY(CAST(:cohort_ids AS uuid[]))
""")


class State(NamedTuple):
    """How a settling left memberships: what they are like, when they next fall due, and when it was (instants)."""

    shape: UUID
    due_at: datetime | None
    settled_at: datetime


class Group(NamedTuple):
    """Memberships that were left alike and are due: a cohort's, or such as are of none."""

    state: State
    ids: list[str]
    cohort_id: UUID | None = None


class Cohort(NamedTuple):
    """One that is due and held: its members, and those of them of whom there is news."""

    cohort_id: UUID
    state: State
    members: list[str]
    with_news: list[str]


def leave(connection: Connection, brand_id: UUID, membership_ids: Iterable[object]) -> None:
    """Let memberships leave the cohorts that they are of: from now on they are due as those are, each for itself.
    Waits while one of these is being settled."""
    connection.execute(_LEAVE, {"brand_id": brand_id, "ids": id_array(membership_ids)})


def update_alone(
    connection: Connection, brand_id: UUID, membership_ids: Iterable[UUID], update: TextClause, **more: object
) -> list[Row[Any]]:
    """Let memberships leave their cohorts and `update` their dues; what it returns, membership_id first. It has to pass
    over those of a cohort: they leave, and again if a run made some of one while it was waited for."""
    updated: list[Row[Any]] = []
    others = set(membership_ids)
    for left in range(_TRIES + 1):
        if not others:
            break
        if left:
            leave(connection, brand_id, others)
        rows = connection.execute(update, {"brand_id": brand_id, "ids": id_array(sorted(others)), **more}).all()
        updated += rows
        others -= {row.membership_id for row in rows}
    return updated


def hold(connection: Connection, brand_id: UUID, now: datetime, *, first_id: UUID, last_id: UUID) -> list[Cohort]:
    """Lock the cohorts of a range that are due. One whose member is just leaving is left out and stays due."""
    within = {"brand_id": brand_id, "now": now, "first_id": first_id, "last_id": last_id}
    held = connection.execute(_HOLD, within).all()
    if not held:
        return []
    which = {"brand_id": brand_id, "cohort_ids": id_array(row.cohort_id for row in held)}
    members = {(row.cohort_id, row.have_news): row.ids[1:-1].split(",") for row in connection.execute(_MEMBERS, which)}
    return [
        Cohort(
            row.cohort_id,
            State(row.shape, row.due_at, row.settled_at),
            members.get((row.cohort_id, False), []),
            members.get((row.cohort_id, True), []),
        )
        for row in held
    ]


def move_on(connection: Connection, brand_id: UUID, settled: Sequence[tuple[Group, State]], *, alone: bool) -> None:
    """Leave groups that are locked in the states that their settling came to: a cohort by its row, others in the dues
    of each; where they are left as a cohort is, or are enough for a new one, of that. `alone`: all of none."""
    cohorts = {group.cohort_id: state for group, state in settled if group.cohort_id is not None}
    if cohorts:
        moved = columns_of("new", ("cohort_id", *_STATE), [(cohort_id, *state) for cohort_id, state in cohorts.items()])
        connection.execute(_MOVE, {"brand_id": brand_id, **moved})
    others = [(group, state) for group, state in settled if group.cohort_id is None]
    cohort_of = {state: cohort_id for cohort_id, state in cohorts.items()}
    if not alone:
        cohort_of |= _form(connection, brand_id, [one for one in others if one[1] not in cohort_of])
    # A shape tells apart what fell due together and was left at one time.
    together: dict[tuple[datetime | None, datetime], list[tuple[Group, State]]] = {}
    for group, state in others:
        together.setdefault((group.state.due_at, group.state.settled_at), []).append((group, state))
    for some in together.values():
        ids = id_array(one for group, _ in some for one in group.ids)
        left = [
            (group.state.shape, *((cohort_of[state], None, None, None) if state in cohort_of else (None, *state)))
            for group, state in some
        ]
        connection.execute(
            _LEFT, {"brand_id": brand_id, "ids": ids, **columns_of("new", ("was", "cohort_id", *_STATE), left)}
        )


def _form(connection: Connection, brand_id: UUID, groups: Sequence[tuple[Group, State]]) -> dict[State, UUID]:
    """New cohorts of those that are left alike and are enough."""
    alike: dict[State, list[str]] = {}
    for group, state in groups:
        alike.setdefault(state, []).extend(group.ids)
    formed = {state: uuid7() for state, ids in alike.items() if len(ids) >= FEWEST}
    if formed:
        rows = [(cohort_id, min(alike[state]), *state) for state, cohort_id in formed.items()]
        connection.execute(_FORM, {"brand_id": brand_id, **columns_of("new", ("cohort_id", "first_id", *_STATE), rows)})
    return formed


def forget(connection: Connection, brand_id: UUID, cohort_ids: Sequence[UUID]) -> None:
    """Drop cohorts that are held and have no members."""
    if cohort_ids:
        connection.execute(_FORGET, {"brand_id": brand_id, "cohort_ids": id_array(cohort_ids)})

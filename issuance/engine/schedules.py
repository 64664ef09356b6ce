"""When memberships next have to be looked at. Memberships leave a schedule that they share only here, and come to share
one only in `states`.

Each membership has its own schedule row, or shares one with others in the same state. Settling locks the row by
which a membership waits. Whoever needs one membership of a shared row gives it its own schedule first (`own`), under
the shared row's lock: so no membership is settled twice at once. A sweep locks shared rows by id and then own rows by
id, and passes over own rows that are locked.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from issuance.database.fragments import due
from issuance.database.statements import Row, Statement
from issuance.engine.event_facts import CHANGED_TYPES
from issuance.engine.rows import Updating, id_array
from issuance.engine.states import State, forget_empty
from issuance.errors import IssuanceError

#: `attempts` and `retry_at` of a new membership. The intake asks for its settling and counts that attempt itself, so
#: that settling it at once needs no other transaction before.
FIRST_ATTEMPT = "1, clock_timestamp() + make_interval(secs => 2)"
#: Whether a schedule `s` may be tried: it has not failed a moment ago.
MAY_BE_TRIED = "(s.retry_at IS NULL OR s.retry_at <= clock_timestamp())"
#: How often `own` tries: between two of its statements a sweep can let a membership share a schedule (again).
_TRIES = 3

_LEAVE = Statement("""
    WITH sharing AS MATERIALIZED (
         SELECT one AS membership_id,
                (SELECT p.schedule_id FROM membership_schedules p
                  WHERE p.brand_id = :brand_id AND p.membership_id = one AND p.schedule_id <> one) AS schedule_id
           FROM unnest(CAST(:ids AS uuid[])) one),
         locked AS MATERIALIZED (
         SELECT schedule_id, due_at, settled_at, fingerprint
           FROM schedules
          WHERE brand_id = :brand_id AND shared AND schedule_id = ANY(ARRAY(SELECT schedule_id FROM sharing))
          ORDER BY schedule_id
            FOR NO KEY UPDATE),
         left_it AS (
         UPDATE membership_schedules p SET schedule_id = p.membership_id
           FROM sharing JOIN locked USING (schedule_id)
          WHERE p.brand_id = :brand_id AND p.membership_id = sharing.membership_id
            AND p.schedule_id = sharing.schedule_id
      RETURNING p.membership_id, locked.*),
         smaller AS (
         UPDATE schedules s SET size = s.size - gone.number
           FROM (SELECT schedule_id, CAST(count(*) AS integer) AS number FROM left_it GROUP BY schedule_id) gone
          WHERE s.brand_id = :brand_id AND s.schedule_id = gone.schedule_id)
    UPDATE schedules own
       SET size = 1, due_at = left_it.due_at, settled_at = left_it.settled_at, fingerprint = left_it.fingerprint
      FROM left_it
     WHERE own.brand_id = :brand_id AND own.schedule_id = left_it.membership_id
""")
# A membership that failed before has no fingerprint here, so that it is settled by itself.
_STATES = """
    SELECT CAST(schedule_id AS text) AS id, due_at, settled_at, fingerprint, attempts, {has_news} AS has_news
      FROM schedules s
     WHERE brand_id = :brand_id AND NOT shared AND size = 1
"""
_GROUPED = """
    WITH locked AS MATERIALIZED ({states})
    SELECT due_at, settled_at, CASE WHEN attempts = :attempts THEN fingerprint END AS fingerprint, has_news,
           array_agg(id) AS ids
      FROM locked
     GROUP BY 1, 2, 3, 4
"""
_UNSETTLED = "FROM billing_events e WHERE e.brand_id = :brand_id AND e.settled_at IS NULL AND e.membership_id ="
#: Which of the memberships `:ids` have facts that no settling has seen. On a billing day all of a brand have some, and
#: a few are asked about: so the facts of these are read, and no others.
WITH_NEWS = f"SELECT e.membership_id {_UNSETTLED} ANY(CAST(:ids AS uuid[]))"
_LOCK_OWN = Statement(
    _GROUPED.format(
        states=_STATES.format(has_news=f"schedule_id IN ({WITH_NEWS})")
        + "AND schedule_id = ANY(CAST(:ids AS uuid[])) ORDER BY schedule_id FOR UPDATE OF s"
    )
)
# Rows that somebody else has locked are left out and stay due.
_LOCK_DUE = Statement(
    _GROUPED.format(
        states=_STATES.format(has_news=f"EXISTS (SELECT {_UNSETTLED} schedule_id)")
        + f"""
       AND schedule_id BETWEEN :first_id AND :last_id AND {due(":now")} AND {MAY_BE_TRIED}
     ORDER BY schedule_id FOR UPDATE OF s SKIP LOCKED"""
    )
)
_LOCK_OF = text("""
    SELECT schedule_id FROM schedules
     WHERE brand_id = :brand_id
       AND schedule_id IN (SELECT p.schedule_id FROM membership_schedules p
                            WHERE p.brand_id = :brand_id AND p.membership_id BETWEEN :first_id AND :last_id)
     ORDER BY shared, schedule_id FOR UPDATE
""")
# No SKIP LOCKED here: one membership that leaves would delay all that share the row.
_LOCK_SHARED_DUE = Statement("""
    SELECT schedule_id, due_at, settled_at, fingerprint
      FROM schedules
     WHERE brand_id = :brand_id AND shared AND schedule_id BETWEEN :first_id AND :last_id AND due_at <= :now
     ORDER BY schedule_id
       FOR UPDATE
""")
_SHARING = Statement(f"""
    SELECT p.schedule_id, array_agg(CAST(p.membership_id AS text)) AS ids,
           EXISTS (SELECT {_UNSETTLED} p.membership_id) AS has_news
      FROM membership_schedules p
     WHERE p.brand_id = :brand_id AND p.schedule_id = ANY(CAST(:schedule_ids AS uuid[]))
       AND p.schedule_id <> p.membership_id
     GROUP BY p.schedule_id, has_news
""")
_KNOWN = Statement("""
    SELECT CAST(membership_id AS text) FROM membership_schedules
     WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[]))
""")
_SOONER = Updating(
    """
    UPDATE schedules s SET due_at = least(s.due_at, kinds.due_at), fingerprint = NULL
      FROM {kinds} WHERE s.brand_id = :brand_id AND {its_ids} AND {its_kind}
    """,
    key="s.schedule_id",
    shared={"due_at": "timestamptz"},
)
# A shared row's memberships are of one type.
_ITS_TYPE = """(SELECT m.membership_type_id
              FROM memberships m
             WHERE m.brand_id = :brand_id
               AND m.membership_id = CASE WHEN s.shared
                       THEN (SELECT p.membership_id FROM membership_schedules p
                              WHERE p.brand_id = :brand_id AND p.schedule_id = s.schedule_id LIMIT 1)
                       ELSE s.schedule_id END)"""
# Each has a schedule of its own.
_CHANGED = f"s.schedule_id IN ({CHANGED_TYPES})"

#: What `make_due` does with the schedules, each `s`, that a condition finds: it locks them in order, and then looks
#: again, since a membership that left a shared row before that has its own.
LOCK_FOUND = """
    SELECT FROM schedules s WHERE s.brand_id = :brand_id AND {which} ORDER BY s.shared, s.schedule_id FOR NO KEY UPDATE
"""
MAKE_DUE = """
    UPDATE schedules s SET due_at = least(s.due_at, :now) WHERE s.brand_id = :brand_id AND {which}
"""
_SETTLED_AT = f"s.settled_at = :now AND ({_ITS_TYPE} = ANY(:type_ids) OR {_CHANGED})"
_WAKE_SETTLED_AT = text(LOCK_FOUND.format(which=_SETTLED_AT)), text(MAKE_DUE.format(which=_SETTLED_AT))
_OF_TYPE = f"s.size > 0 AND ({_ITS_TYPE} = :type_id OR {_CHANGED})"
_WAKE_TYPE = text(LOCK_FOUND.format(which=_OF_TYPE)), text(MAKE_DUE.format(which=_OF_TYPE))
_LATER = "s.size > 0 AND s.due_at > :now"
_WAKE_LATER = text(LOCK_FOUND.format(which=_LATER)), text(MAKE_DUE.format(which=_LATER))


class Waiting(NamedTuple):
    """Memberships in one state whose schedules are locked: those of one shared row, or some with rows of their own.

    `has_news`: there are facts about each that no settling has seen.
    """

    ids: list[str]
    state: State
    has_news: bool = False
    shared_by: UUID | None = None


class ScheduleBusy(IssuanceError):
    """The membership is being settled at this moment. Try again."""

    code = "schedule_busy"
    status = 503


def own(connection: Connection, brand_id: UUID, ids: Iterable[object], *, attempts: int = 0) -> list[Waiting]:
    """Lock the schedules of memberships; those that share one get their own. Waits for whoever settles them. Unknown
    ids are ignored. `attempts`: memberships with just so many keep their fingerprint, and can form groups. Raises
    ScheduleBusy if sweeps let them share again each time that they have left."""
    left = set(map(str, ids))
    locked: list[Waiting] = []
    for _ in range(_TRIES):
        parameters = {"brand_id": brand_id, "ids": id_array(sorted(left)), "attempts": attempts}
        found = [_waiting(row) for row in _LOCK_OWN.found(connection, parameters)]
        locked += found
        left -= {one for waiting in found for one in waiting.ids}
        if not left:
            break
        # They share a schedule, or did so a moment ago.
        left = set(_KNOWN.column(connection, {"brand_id": brand_id, "ids": id_array(left)}))
        if not left:
            break
        leave(connection, brand_id, left)
    else:
        raise ScheduleBusy
    return locked


def lock(connection: Connection, brand_id: UUID, first_id: UUID, last_id: UUID) -> None:
    """Lock the schedules by which a range of memberships waits, so that nobody settles them meanwhile. Raises
    ScheduleBusy if sweeps move them to other schedules each time."""
    parameters = {"brand_id": brand_id, "first_id": first_id, "last_id": last_id}
    locked: set[UUID] = set()
    for _ in range(_TRIES):
        found = set(connection.scalars(_LOCK_OF, parameters))
        if found <= locked:
            return
        locked |= found
    raise ScheduleBusy


def leave(connection: Connection, brand_id: UUID, ids: Collection[object]) -> None:
    """Let memberships leave the schedules that they share. Each waits by its own from now on, in the same state."""
    if ids:
        _LEAVE.written(connection, {"brand_id": brand_id, "ids": id_array(ids)})


def lock_due(connection: Connection, brand_id: UUID, now: datetime, first_id: UUID, last_id: UUID) -> list[Waiting]:
    """Lock the due schedules of a range of ids. A membership that shares one and has news gets its own."""
    parameters = {"brand_id": brand_id, "now": now, "first_id": first_id, "last_id": last_id, "attempts": 0}
    locked: list[Waiting] = []
    shared = {row.schedule_id: row for row in _LOCK_SHARED_DUE.found(connection, parameters)}
    if shared:
        # Read after the rows are locked, so that memberships that left before are not among them.
        for row in _SHARING.found(connection, {"brand_id": brand_id, "schedule_ids": id_array(shared)}):
            by = shared[row.schedule_id]
            state = State(by.due_at, by.settled_at, by.fingerprint)
            locked.append(Waiting(row.ids, state, row.has_news, None if row.has_news else row.schedule_id))
        used = {waiting.shared_by for waiting in locked}
        empty = [schedule_id for schedule_id in shared if schedule_id not in used]
        leave(connection, brand_id, [one for waiting in locked if waiting.has_news for one in waiting.ids])
        forget_empty(connection, brand_id, empty)
    just_left = {one for waiting in locked if waiting.has_news for one in waiting.ids}
    for row in _LOCK_DUE.found(connection, parameters):
        ids = [one for one in row.ids if one not in just_left] if just_left else row.ids
        if ids:
            locked.append(_waiting(row)._replace(ids=ids))
    return locked


def _waiting(row: Row) -> Waiting:
    return Waiting(row.ids, State(row.due_at, row.settled_at, row.fingerprint), row.has_news)


def sooner(connection: Connection, brand_id: UUID, due_at: dict[UUID, datetime | None]) -> None:
    """Make memberships, whose own schedules are locked, due by an instant. Something was issued outside of settling, so
    their fingerprint is not true any more."""
    _SOONER.execute(connection, {one: (at,) for one, at in due_at.items()}, brand_id=brand_id)


def wake(connection: Connection, brand_id: UUID, ids: Iterable[object], now: datetime) -> None:
    """Make memberships due at `now`: what their credits rest on has changed. A sweep settles them if the hint is
    lost."""
    locked = own(connection, brand_id, ids)
    sooner(connection, brand_id, {UUID(one): now for waiting in locked for one in waiting.ids})


def make_due(
    connection: Connection, of_found: Iterable[TextClause], brand_id: UUID, now: datetime, **more: object
) -> None:
    """Make memberships due at `now` whose schedules a condition finds. `of_found`: LOCK_FOUND and MAKE_DUE with that
    condition; `more`: its parameters. To be done alone (`clock.lock_alone`)."""
    for statement in of_found:
        connection.execute(statement, {"brand_id": brand_id, "now": now, **more})


def wake_settled_at(connection: Connection, brand_id: UUID, type_ids: Sequence[UUID], now: datetime) -> None:
    """Make memberships of these types due again if they were settled at `now`: a rule was saved at that very instant,
    while the clock stood still, and may be in force for what was released at it."""
    make_due(connection, _WAKE_SETTLED_AT, brand_id, now, type_ids=list(type_ids))


def wake_type(connection: Connection, brand_id: UUID, type_id: UUID, now: datetime) -> None:
    """Make all memberships that are or were of a type due at `now`: a rule is promised to them for periods that have
    passed."""
    make_due(connection, _WAKE_TYPE, brand_id, now, type_id=type_id)


def wake_all(connection: Connection, brand_id: UUID, now: datetime) -> None:
    """Make every membership of a brand that is due later due at `now`. Those without a due date have no credit that
    expires, and are left."""
    make_due(connection, _WAKE_LATER, brand_id, now)

"""How settling leaves memberships, written into their schedules: many in one state share one from now on."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from uuid_utils import uuid7

from issuance import limits
from issuance.database.statements import Statement
from issuance.engine.rows import Updating, columns_of, id_array, unnest

_STATE = {"due_at": "timestamptz", "settled_at": "timestamptz", "fingerprint": "uuid"}
_MOVE_SHARED = Statement(f"""
    UPDATE schedules s
       SET size = moved.size, due_at = moved.due_at, settled_at = moved.settled_at, fingerprint = moved.fingerprint
      FROM {unnest("moved", schedule_id="uuid", size="integer", **_STATE)}
     WHERE s.brand_id = :brand_id AND s.schedule_id = moved.schedule_id
""")
_MAKE_SHARED = Statement(f"""
    INSERT INTO schedules (brand_id, schedule_id, shared, size, due_at, settled_at, fingerprint)
    SELECT :brand_id, made.schedule_id, true, made.size, made.due_at, made.settled_at, made.fingerprint
      FROM {unnest("made", schedule_id="uuid", size="integer", **_STATE)}
""")
_SHARE = Statement("""
    WITH joined AS (
         UPDATE membership_schedules SET schedule_id = :schedule_id
          WHERE brand_id = :brand_id AND membership_id = ANY(CAST(:ids AS uuid[])))
    UPDATE schedules
       SET size = 0, due_at = NULL, settled_at = NULL, fingerprint = NULL,
           attempts = 0, retry_at = NULL, last_error = NULL, quarantined_at = NULL
     WHERE brand_id = :brand_id AND schedule_id = ANY(CAST(:ids AS uuid[]))
""")
_FORGET_EMPTY = Statement("""
    DELETE FROM schedules WHERE brand_id = :brand_id AND shared AND schedule_id = ANY(CAST(:schedule_ids AS uuid[]))
""")
_MOVE_OWN = Updating(
    """
    UPDATE schedules s
       SET due_at = kinds.due_at, settled_at = kinds.settled_at, fingerprint = kinds.fingerprint,
           attempts = 0, retry_at = NULL, last_error = NULL, quarantined_at = NULL
      FROM {kinds} WHERE s.brand_id = :brand_id AND {its_ids} AND {its_kind}
    """,
    key="s.schedule_id",
    shared=_STATE,
)


class State(NamedTuple):
    """How settling left memberships: when they next fall due, when they were settled (instants), and their
    fingerprint."""

    due_at: datetime | None
    settled_at: datetime | None
    fingerprint: UUID | None


def move_on(
    connection: Connection,
    brand_id: UUID,
    settled: Mapping[tuple[UUID | None, State], Sequence[str]],
    *,
    may_share: bool,
) -> None:
    """Write the new states of memberships into their schedules, which are locked. `settled`: ids by the schedule that
    they share (None: each has its own) and the new state. `may_share`: where enough with their own schedules come to
    one state, they share one from now on."""
    if may_share:
        settled = _joined(connection, brand_id, settled)
    shared = [(by, len(ids), *state) for (by, state), ids in settled.items() if by is not None]
    assert len({by for by, *_ in shared}) == len(shared), "who shares a schedule comes to one state"
    if shared:
        rows = columns_of("moved", ("schedule_id", "size", *_STATE), shared)
        _MOVE_SHARED.written(connection, {"brand_id": brand_id, **rows})
    own = {state: ids for (by, state), ids in settled.items() if by is None}
    if may_share:
        fewest = limits.current.settling.fewest_sharing
        enough = [state for state, ids in own.items() if state.fingerprint and len(ids) >= fewest]
        _share(connection, brand_id, {state: own.pop(state) for state in enough})
    left = {UUID(one): state for state, ids in own.items() for one in ids}
    _MOVE_OWN.execute(connection, left, brand_id=brand_id)


def _joined(
    connection: Connection, brand_id: UUID, settled: Mapping[tuple[UUID | None, State], Sequence[str]]
) -> dict[tuple[UUID | None, State], Sequence[str]]:
    """Let memberships that come to one state share the largest schedule that is held. Otherwise shared rows
    would shrink as memberships leave, and never be rejoined."""
    by_state: dict[State, dict[UUID | None, Sequence[str]]] = {}
    for (by, state), ids in settled.items():
        by_state.setdefault(state, {})[by] = ids
    empty: list[UUID] = []
    most = limits.current.settling.batch
    for waiting in by_state.values():
        into, *others = sorted(waiting, key=lambda by: (by is not None, len(waiting[by])), reverse=True)
        if into is None:
            continue
        for by in others:
            if len(waiting[into]) + len(waiting[by]) <= most:
                ids = waiting.pop(by)
                _SHARE.written(connection, {"brand_id": brand_id, "schedule_id": into, "ids": id_array(ids)})
                waiting[into] = [*waiting[into], *ids]
                empty += [] if by is None else [by]
    forget_empty(connection, brand_id, empty)
    return {(by, state): ids for state, waiting in by_state.items() for by, ids in waiting.items()}


def _share(connection: Connection, brand_id: UUID, by_state: Mapping[State, Sequence[str]]) -> None:
    """For each state, make a schedule that its memberships share."""
    if not by_state:
        return
    made = [(str(uuid7()), len(ids), *state) for state, ids in by_state.items()]
    rows = columns_of("made", ("schedule_id", "size", *_STATE), made)
    _MAKE_SHARED.written(connection, {"brand_id": brand_id, **rows})
    for (schedule_id, *_), ids in zip(made, by_state.values(), strict=True):
        _SHARE.written(connection, {"brand_id": brand_id, "schedule_id": schedule_id, "ids": id_array(ids)})


def forget_empty(connection: Connection, brand_id: UUID, schedule_ids: Collection[UUID]) -> None:
    """Remove shared schedules that everybody has left. They are locked."""
    if schedule_ids:
        _FORGET_EMPTY.written(connection, {"brand_id": brand_id, "schedule_ids": id_array(schedule_ids)})

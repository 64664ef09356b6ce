"""Runs: bulk work that an operator can see, watch, pause and resume. Its batches stand in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, Row, text
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.audit import Action
from issuance.deciding.reasons import Reason
from issuance.errors import Conflict, Invalid, IssuanceError, NotFound
from issuance.webhooks import outbox

_SELECT = """
    SELECT r.run_id, r.kind, r.state, r.credit_rule_id, r.membership_type_id, r.membership_id, r.include_upcoming,
           r.from_date, r.to_date, r.dry_run, r.plan_id, r.undoes_run_id, r.rule_version, r.issued_from, r.reason,
           r.total, r.created_at, r.started_at, r.finished_at, r.actor,
           (SELECT c.error FROM reconciliations c WHERE c.brand_id = :brand_id AND c.run_id = r.run_id) AS error,
           coalesce(b.done, 0) AS done, coalesce(b.counts, '{{}}') AS counts
      FROM (SELECT * FROM runs WHERE brand_id = :brand_id {which}) r
      LEFT JOIN LATERAL (
           SELECT sum(size) FILTER (WHERE finished_at IS NOT NULL) AS done,
                  (SELECT jsonb_object_agg(reason, n) FROM (
                       SELECT c.key AS reason, sum(c.value::bigint) AS n
                         FROM run_batches i, jsonb_each_text(i.counts) c
                        WHERE i.brand_id = :brand_id AND i.run_id = r.run_id GROUP BY c.key) summed) AS counts
             FROM run_batches WHERE brand_id = :brand_id AND run_id = r.run_id) b ON true
     ORDER BY r.created_at DESC, r.run_id DESC
"""
_ONE = text(_SELECT.format(which="AND run_id = :run_id"))
_PAGE = text(_SELECT.format(which="ORDER BY created_at DESC, run_id DESC LIMIT :limit OFFSET :offset"))
_COUNT = text("SELECT count(*) FROM runs WHERE brand_id = :brand_id")
_MOVE = text("""
    UPDATE runs SET state = CASE WHEN :state = 'running' AND started_at IS NULL THEN 'planned' ELSE :state END,
                    finished_at = CASE WHEN :state = 'cancelled' THEN clock_timestamp() END
     WHERE brand_id = :brand_id AND run_id = :run_id AND state = ANY(:allowed) AND kind <> 'sweep'
""")
_LOCK = text("SELECT * FROM runs WHERE brand_id = :brand_id AND run_id = :run_id FOR UPDATE")
_START = text("""
    INSERT INTO runs (brand_id, run_id, kind, credit_rule_id, membership_type_id, membership_id, include_upcoming,
                      from_date, to_date, dry_run, plan_id, undoes_run_id, rule_version, issued_from, again,
                      rule, as_of, months, reason, only_memberships, only_members)
    VALUES (:brand_id, :run_id, :kind, :credit_rule_id, :membership_type_id, :membership_id, :include_upcoming,
            :first, :last, :dry_run, :plan_id, :undoes_run_id, :rule_version, :issued_from, :again,
            CAST(:rule AS jsonb), :as_of, :months, :reason, :only_memberships, :only_members)
""")
#: Runs of a brand that are not finished, sweeps aside.
MOST_UNFINISHED = 50
_UNFINISHED = text("SELECT count(*) FROM runs WHERE brand_id = :brand_id AND finished_at IS NULL AND kind <> 'sweep'")
_RULE_IS_THERE = text("""
    SELECT FROM credit_rules
     WHERE brand_id = :brand_id AND credit_rule_id = :id AND (deleted_at IS NULL OR :deleted_too)
""")
_KNOWN_MEMBERSHIPS = text("""
    SELECT membership_id FROM memberships WHERE brand_id = :brand_id AND membership_id = ANY(:ids)
""")
_KNOWN_MEMBERS = text("""
    SELECT external_user_id, member_id FROM members
     WHERE brand_id = :brand_id AND external_user_id = ANY(:names) AND joined_at IS NOT NULL
""")
_THERE = {
    "membership_type_id": text("SELECT FROM membership_types WHERE brand_id = :brand_id AND membership_type_id = :id"),
    "membership_id": text("SELECT FROM memberships WHERE brand_id = :brand_id AND membership_id = :id"),
}


class RunLimit(IssuanceError):
    """The brand has 50 runs that are not finished. Wait for them, or cancel some."""

    code = "too_many_runs"
    status = 429


def start_issue(
    connection: Connection,
    brand_id: UUID,
    credit_rule_id: UUID,
    *,
    include_upcoming: bool,
    dry_run: bool = False,
    membership_ids: Sequence[UUID] | None = None,
    external_user_ids: Sequence[str] | None = None,
    reason: str | None = None,
) -> UUID:
    """Accept a manual issue of a rule (SEMANTICS 9). It may be narrowed to memberships, and to members: to guests who
    are one of them. Raises NotFound where the rule is not there or deleted, Invalid for unknown ids.
    """
    check_rule(connection, brand_id, credit_rule_id)
    narrowed = {}
    if membership_ids is not None:
        which = {"brand_id": brand_id, "ids": list(membership_ids)}
        _check_all("membership_ids", membership_ids, connection.scalars(_KNOWN_MEMBERSHIPS, which))
        narrowed["only_memberships"] = list(dict.fromkeys(membership_ids))
    if external_user_ids is not None:
        asked = {"brand_id": brand_id, "names": list(external_user_ids)}
        known = {row.external_user_id: row.member_id for row in connection.execute(_KNOWN_MEMBERS, asked)}
        _check_all("external_user_ids", external_user_ids, known)
        narrowed["only_members"] = list(known.values())
    return start(
        connection,
        brand_id,
        kind="issue",
        credit_rule_id=credit_rule_id,
        include_upcoming=include_upcoming,
        dry_run=dry_run,
        reason=reason,
        **narrowed,
    )


def _check_all(field: str, asked: Iterable[object], known: Iterable[object]) -> None:
    there = set(known)
    unknown = next((one for one in asked if one not in there), None)
    if unknown is not None:
        raise Invalid(f"{field}: {unknown} is not known", fields={field: f"{unknown} is not known"})


def start_replay(
    connection: Connection,
    brand_id: UUID,
    *,
    credit_rule_id: UUID | None = None,
    membership_type_id: UUID | None = None,
    membership_id: UUID | None = None,
    first: date,
    last: date,
    dry_run: bool,
) -> UUID:
    """Accept a replay (SEMANTICS 10) of the occurrences whose period starts within `first` to `last`, inclusive
    dates. Narrowed by any of the ids; with none it is over the whole brand. Raises Invalid, of a deleted rule too."""
    if last < first:
        raise Invalid("The span of dates ends before it begins.", fields={"to": "must not be before from"})
    wrong = {}
    if credit_rule_id and not is_rule(connection, brand_id, credit_rule_id):
        wrong["credit_rule_id"] = "is not known"
    for name, value in {"membership_type_id": membership_type_id, "membership_id": membership_id}.items():
        if value and not _is_there(connection, _THERE[name], brand_id, value):
            wrong[name] = "is not known"
    if wrong:
        raise Invalid(fields=wrong)
    return start(
        connection,
        brand_id,
        kind="replay",
        credit_rule_id=credit_rule_id,
        membership_type_id=membership_type_id,
        membership_id=membership_id,
        first=first,
        last=last,
        dry_run=dry_run,
    )


def _is_there(connection: Connection, statement: Any, brand_id: UUID, id_: UUID, **more: object) -> bool:
    return connection.execute(statement, {"brand_id": brand_id, "id": id_, **more}).first() is not None


def is_rule(connection: Connection, brand_id: UUID, credit_rule_id: UUID, *, deleted_too: bool = False) -> bool:
    """Whether a rule is there; `deleted_too`: a deleted one is."""
    return _is_there(connection, _RULE_IS_THERE, brand_id, credit_rule_id, deleted_too=deleted_too)


def check_rule(connection: Connection, brand_id: UUID, credit_rule_id: UUID, *, deleted_too: bool = False) -> None:
    """Raises NotFound where a rule is not there; `deleted_too`: a deleted one is."""
    if not is_rule(connection, brand_id, credit_rule_id, deleted_too=deleted_too):
        raise NotFound("There is no such credit rule.")


#: The columns of a run that say nothing unless its kind needs them.
_EMPTY = (
    *("credit_rule_id", "membership_type_id", "membership_id", "first", "last"),
    *("plan_id", "undoes_run_id", "rule_version", "issued_from", "rule", "as_of", "months"),
    *("only_memberships", "only_members"),
)


def start(connection: Connection, brand_id: UUID, *, reason: str | None = None, **columns: object) -> UUID:
    """Write down a run: its kind, and what it is for, by the names of its columns."""
    if connection.scalar(_UNFINISHED, {"brand_id": brand_id}) >= MOST_UNFINISHED:
        raise RunLimit
    run_id = uuid7()
    parameters = {**dict.fromkeys(_EMPTY), "include_upcoming": False, "dry_run": False, "again": False, **columns}
    rule = parameters["rule"] and to_json(parameters["rule"]).decode()
    connection.execute(_START, {**parameters, "rule": rule, "reason": reason, "brand_id": brand_id, "run_id": run_id})
    audit.write(connection, brand_id, "run.created", run_id, reason=reason, after=columns)
    return run_id


def read(connection: Connection, brand_id: UUID, run_id: UUID) -> dict[str, Any]:
    """A run with its counts by reason and its progress, in memberships. Raises NotFound."""
    row = connection.execute(_ONE, {"brand_id": brand_id, "run_id": run_id}).one_or_none()
    if row is None:
        raise NotFound("There is no such run.")
    return _shape(row)


def tell_finished(connection: Connection, brand_id: UUID, run_id: UUID) -> None:
    """Tell the webhooks that listen to it that a run has ended, also one that was cancelled. They are not told of
    sweeps and nightly reconciling, for which nobody asked."""
    if "run.finished" in outbox.listened_to(connection, brand_id):
        run = read(connection, brand_id, run_id)
        if run["kind"] != "reconcile" or run["started_by"] is not None:
            outbox.add(connection, brand_id, "run.finished", run)


def page(connection: Connection, brand_id: UUID, page: int, per_page: int) -> tuple[list[dict[str, Any]], int]:
    """One page of a brand's runs, the latest first, and how many there are."""
    total = connection.scalar(_COUNT, {"brand_id": brand_id})
    rows = connection.execute(_PAGE, {"brand_id": brand_id, "limit": per_page, "offset": (page - 1) * per_page})
    return [_shape(row) for row in rows], total or 0


def _counts(row: Row[Any]) -> dict[str, int]:
    if row.kind == "reconcile" and not row.dry_run:  # what it told, and what it could not
        return dict(sorted(row.counts.items()))
    return {reason.value: row.counts[reason.value] for reason in Reason if reason.value in row.counts}


def _shape(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.run_id,
        "kind": row.kind,
        "state": row.state,
        "counts": _counts(row),
        "total": row.total,
        "done": row.done,
        "dry_run": row.dry_run,
        "plan_id": row.plan_id,
        "undoes_run_id": row.undoes_run_id,
        "rule_version": row.rule_version,
        "issued_from": row.issued_from,
        "reason": row.reason,
        "error": row.error,
        "credit_rule_id": row.credit_rule_id,
        "membership_type_id": row.membership_type_id,
        "membership_id": row.membership_id,
        "include_upcoming": row.include_upcoming,
        "from": row.from_date,
        "to": row.to_date,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "started_by": row.actor,
    }


_MOVES: dict[str, tuple[tuple[str, ...], str, Action]] = {
    "pause": (("planned", "running"), "paused", "run.paused"),
    "resume": (("paused",), "running", "run.resumed"),
    "cancel": (("planned", "running", "paused"), "cancelled", "run.cancelled"),
}


def pause(connection: Connection, brand_id: UUID, run_id: UUID) -> dict[str, Any]:
    """Pause a run after the batches that are being worked on. Raises NotFound, Conflict."""
    return _move(connection, brand_id, run_id, "pause")


def resume(connection: Connection, brand_id: UUID, run_id: UUID) -> dict[str, Any]:
    """Let a paused run go on. Raises NotFound, Conflict."""
    return _move(connection, brand_id, run_id, "resume")


def cancel(connection: Connection, brand_id: UUID, run_id: UUID) -> dict[str, Any]:
    """End a run; what it has issued stays. Raises NotFound, Conflict."""
    return _move(connection, brand_id, run_id, "cancel")


def _move(connection: Connection, brand_id: UUID, run_id: UUID, verb: str) -> dict[str, Any]:
    allowed, state, action = _MOVES[verb]
    parameters = {"brand_id": brand_id, "run_id": run_id, "state": state, "allowed": list(allowed)}
    moved = connection.execute(_MOVE, parameters)
    run = read(connection, brand_id, run_id)
    if moved.rowcount == 0:
        raise Conflict(f"A {run['kind']} run that is {run['state']} takes no {verb}.")
    audit.write(connection, brand_id, action, run_id)
    if run["finished_at"] is not None:
        tell_finished(connection, brand_id, run_id)
    return run


def lock(connection: Connection, brand_id: UUID, run_id: UUID) -> Row[Any] | None:
    """A run's row, locked; None if there is none."""
    return connection.execute(_LOCK, {"brand_id": brand_id, "run_id": run_id}).one_or_none()

"""Plans: what a dry run would do, and its approval: a run that does just that (SEMANTICS 17).

A row of a plan keeps ids; names are looked up when it is read.
"""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, RowMapping, text

from issuance import limits
from issuance.credits import credits
from issuance.deciding.decisions import Decision
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import NewCredit
from issuance.engine import runs
from issuance.engine.membership import Membership
from issuance.errors import NotAPlan, NotFound, PlanCutOff, PlanForgotten
from issuance.tenancy import clock as clocks

#: What a batch keeps of a plan: rows, or ids of credits.
Plan = list[Any]

_SIZE = text("""
    SELECT coalesce(sum(planned), 0) AS rows, coalesce(bool_or(planned > 0 AND plan IS NULL), false) AS forgotten
      FROM run_batches WHERE brand_id = :brand_id AND run_id = :run_id
""")
# Only the batches that the page lies in are read.
_PAGE = text("""
    SELECT planned.value
      FROM (SELECT batch, planned, sum(planned) OVER (ORDER BY batch) - planned AS before
              FROM run_batches WHERE brand_id = :brand_id AND run_id = :run_id) sizes
      JOIN run_batches b USING (batch), jsonb_array_elements(b.plan) WITH ORDINALITY AS planned (value, place)
     WHERE b.brand_id = :brand_id AND b.run_id = :run_id
       AND before < :offset + :limit AND before + sizes.planned > :offset
       AND before + place > :offset AND before + place <= :offset + :limit
     ORDER BY b.batch, place
""")
_GUESTS = text("""
    SELECT membership_id, guest_id AS id, name, lead_booker FROM guests
     WHERE brand_id = :brand_id
       AND (membership_id, guest_id) IN (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:guest_ids AS uuid[])))
""")
_APPROVED = text("SELECT run_id FROM runs WHERE brand_id = :brand_id AND plan_id = :plan_id")
# The batches of the plan are those of its approval, as far as they give anything.
_BATCHES = text("""
    WITH cut AS (
         INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size)
         SELECT :brand_id, :run_id, batch, (array_agg(id ORDER BY id))[1], (array_agg(id ORDER BY id DESC))[1], count(*)
           FROM (SELECT DISTINCT b.batch, CAST(row ->> 'membership_id' AS uuid) AS id
                   FROM run_batches b, jsonb_array_elements(b.plan) row
                  WHERE b.brand_id = :brand_id AND b.run_id = :plan_id AND row ->> 'reason' = 'issued') promised
          GROUP BY batch
      RETURNING size)
    UPDATE runs
       SET state = 'running', started_at = clock_timestamp(), total = (SELECT coalesce(sum(size), 0) FROM cut)
     WHERE brand_id = :brand_id AND run_id = :run_id
""")
# Rows of other reasons may be missing: they give nothing.
_IS_CUT_OFF = text("""
    SELECT EXISTS (SELECT FROM run_batches
                    WHERE brand_id = :brand_id AND run_id = :run_id
                      AND coalesce(CAST(counts ->> 'issued' AS integer), 0)
                          > (SELECT count(*) FROM jsonb_array_elements(plan) row WHERE row ->> 'reason' = 'issued'))
""")
_PROMISED = text("""
    SELECT CAST(row ->> 'membership_id' AS uuid) AS membership_id, CAST(row ->> 'credit_rule_id' AS uuid) AS rule_id,
           CAST(row ->> 'rule_version' AS integer) AS version, CAST(row ->> 'guest_id' AS uuid) AS guest_id,
           CAST(row ->> 'period_start' AS date) AS period_start
      FROM run_batches mine
      JOIN run_batches b ON (b.brand_id, b.run_id, b.batch) = (mine.brand_id, :plan_id, mine.batch),
           jsonb_array_elements(b.plan) row
     WHERE mine.brand_id = :brand_id AND mine.run_id = :run_id
       AND mine.first_id <= :last_id AND mine.last_id >= :first_id
       AND row ->> 'reason' = 'issued' AND CAST(row ->> 'membership_id' AS uuid) BETWEEN :first_id AND :last_id
""")
# How many rows there were stays. An approval that is not done yet still reads its plan, and whoever cancels a use the
# redeemed credits of an undo.
_FORGET = text("""
    UPDATE run_batches SET plan = NULL
     WHERE (brand_id, run_id, batch) IN (
               SELECT b.brand_id, b.run_id, b.batch FROM run_batches b JOIN runs r USING (brand_id, run_id)
                WHERE b.plan IS NOT NULL AND r.kind <> 'undo'
                  AND r.finished_at < clock_timestamp() - CAST(:kept AS interval)
                  AND NOT EXISTS (SELECT FROM runs a
                                   WHERE a.brand_id = r.brand_id AND a.plan_id = r.run_id AND a.finished_at IS NULL)
                LIMIT :most)
""")


class Promise(NamedTuple):
    """A credit that a plan says is issued. `place`: the guest's on the order, or None if they are on none of its
    lists."""

    rule_id: UUID
    place: int | None
    period_start: date
    version: int


#: The rows of a plan that say that a credit is issued, by membership.
Promised = dict[UUID, list[Row[Any]]]


class Planned(NamedTuple):
    """A row of a plan: what is decided about a guest, by the place, and a period of a rule. `new`: the credit that is
    issued, if one is."""

    credit_rule_id: UUID
    version: int | None
    place: int
    period_start: date
    period_end: date | None
    reason: Reason
    new: NewCredit | None = None

    @classmethod
    def of(cls, decision: Decision) -> "Planned":
        """What a decision says."""
        period = decision.occurrence.period_start, decision.occurrence.period_end
        return cls(decision.credit_rule_id, decision.rule_version, decision.guest.place, *period, decision.told)


def row(membership: Membership, planned: Planned) -> dict[str, Any]:
    """The row as a batch keeps it."""
    return {
        "membership_id": str(membership.membership_id),
        "credit_rule_id": str(planned.credit_rule_id),
        "rule_version": planned.version,
        "guest_id": str(membership.guest_ids[planned.place]),
        "period_start": planned.period_start.isoformat(),
        "period_end": None if planned.period_end is None else planned.period_end.isoformat(),
        "outcome": planned.reason.outcome.value,
        "reason": planned.reason.value,
    }


def most_rows(reason: Reason) -> int:
    """Beyond how many rows a batch keeps none of a reason."""
    bounds = limits.current.runs
    return bounds.plan_credits if reason is Reason.ISSUED else bounds.plan_rows


def page(
    connection: Connection, brand_id: UUID, run_id: UUID, page: int, per_page: int
) -> tuple[list[dict[str, Any]], int]:
    """One page of what a dry run would do, or of the redeemed credits that an undo found, as they are now; and how many
    there are. Raises NotFound, PlanForgotten."""
    run = runs.read(connection, brand_id, run_id)
    parameters = {"brand_id": brand_id, "run_id": run_id, "limit": per_page, "offset": (page - 1) * per_page}
    size = _size(connection, brand_id, run_id)
    rows = list(connection.scalars(_PAGE, parameters))
    if run["kind"] == "undo":
        now = clocks.read(connection, brand_id).now
        shown = credits.by_id(connection, brand_id, [UUID(credit_id) for credit_id in rows], now)
        rows = list(shown.values())
    else:
        _name_guests(connection, brand_id, rows)
    return rows, size


def _size(connection: Connection, brand_id: UUID, run_id: UUID) -> int:
    """How many rows a plan has. Raises PlanForgotten."""
    size = connection.execute(_SIZE, {"brand_id": brand_id, "run_id": run_id}).one()
    if size.forgotten:
        raise PlanForgotten
    return int(size.rows)


def is_forgotten(connection: Connection, brand_id: UUID, run_id: UUID) -> bool:
    """Whether the rows of a run's plan are kept no longer. Their counts are."""
    return bool(connection.execute(_SIZE, {"brand_id": brand_id, "run_id": run_id}).one().forgotten)


def forget(connection: Connection, kept: timedelta, most: int) -> int:
    """Forget the plans of at most so many batches of runs that were finished longer ago than plans are kept, and count
    these batches. What undos found redeemed stays: a use may be cancelled years later (SEMANTICS 17)."""
    return connection.execute(_FORGET, {"kept": kept, "most": most}).rowcount


def _name_guests(connection: Connection, brand_id: UUID, rows: Collection[dict[str, Any]]) -> None:
    guests = _named(connection, brand_id, {(row["membership_id"], row["guest_id"]) for row in rows})
    for planned in rows:
        if "outcome" in planned:
            planned.setdefault("source_ref", None)
        guest_id, leads = planned.pop("guest_id"), planned.pop("lead_booker", False)
        known = guests.get((planned["membership_id"], guest_id))
        # A guest who was just added has no name here until the membership is settled.
        name, lead_booker = ("", leads) if known is None else (known["name"], known["lead_booker"])
        planned["guest"] = {"id": guest_id, "name": name, "lead_booker": lead_booker}


def _named(
    connection: Connection, brand_id: UUID, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], RowMapping]:
    """The guests by their order's id and their own. An order may have had thousands, of whom nobody else is read."""
    ids, guest_ids = [one for one, _ in wanted], [guest_id for _, guest_id in wanted]
    found = connection.execute(_GUESTS, {"brand_id": brand_id, "ids": ids, "guest_ids": guest_ids}).mappings()
    return {(str(guest["membership_id"]), str(guest["id"])): guest for guest in found}


def approve(connection: Connection, brand_id: UUID, run_id: UUID, reason: str | None) -> UUID:
    """Accept the run that does what a plan says; approved again it is the same run. Raises NotFound, NotAPlan,
    PlanForgotten, PlanCutOff."""
    plan = runs.lock(connection, brand_id, run_id)
    if plan is None:
        raise NotFound("There is no such run.")
    if plan.kind not in ("issue", "replay") or not plan.dry_run or plan.state != "finished":
        raise NotAPlan
    approved = connection.scalar(_APPROVED, {"brand_id": brand_id, "plan_id": run_id})
    if approved is not None:
        return UUID(str(approved))
    _size(connection, brand_id, run_id)
    if connection.scalar(_IS_CUT_OFF, {"brand_id": brand_id, "run_id": run_id}):
        raise PlanCutOff
    says = {
        name: getattr(plan, name)
        for name in ("kind", "credit_rule_id", "membership_type_id", "membership_id", "include_upcoming")
    }
    span = {"first": plan.from_date, "last": plan.to_date}
    return runs.start(connection, brand_id, **says, **span, plan_id=run_id, reason=reason)


def cut(connection: Connection, run: Row[Any]) -> None:
    """Cut an approval into batches."""
    connection.execute(_BATCHES, {"brand_id": run.brand_id, "run_id": run.run_id, "plan_id": run.plan_id})


def promised(connection: Connection, run: Row[Any], first_id: UUID, last_id: UUID) -> Promised:
    """What the plan that a run does says of the memberships within a range of ids."""
    parameters = {"first_id": first_id, "last_id": last_id, "plan_id": run.plan_id}
    found: Promised = {}
    for said in connection.execute(_PROMISED, {"brand_id": run.brand_id, "run_id": run.run_id, **parameters}):
        found.setdefault(said.membership_id, []).append(said)
    return found


def promises(promised: Promised | None, membership: Membership) -> tuple[Promise, ...] | None:
    """What a plan promises the guests of a membership; None where there is no plan."""
    if promised is None:
        return None
    places = {guest_id: place for place, guest_id in enumerate(membership.guest_ids)}
    return tuple(
        Promise(said.rule_id, places.get(said.guest_id), said.period_start, said.version)
        for said in promised.get(membership.membership_id, ())
    )


def kept(promise: Promise, planned: Planned | None, otherwise: Reason) -> tuple[Reason, Planned | None]:
    """What becomes of a promise by what is decided now, and the reason it is counted under: `otherwise` if nothing is
    decided any more."""
    if planned is None:
        return otherwise, None
    if planned.reason is not Reason.ISSUED:
        return planned.reason, planned
    if planned.period_start != promise.period_start:
        return Reason.PERIOD_OVER, planned
    if planned.version != promise.version:
        return Reason.VERSION_NOT_IN_FORCE, planned
    return Reason.ISSUED, planned

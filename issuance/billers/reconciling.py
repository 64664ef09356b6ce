"""Reconciling: a biller is asked how its objects stand, so that what its webhooks did not tell is told (INTERFACE 7).

It is a run of the kind `reconcile`. One process at a time works on it, page by page. Each page is told in a transaction
of its own, which also notes the page: when a process dies, the next one goes on from there. A dry run reads everything
first, and then tells it in one transaction that is rolled back.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from issuance.billers import billers, dry_runs, starting
from issuance.billers.adapter import Askable, CanNotBeAsked
from issuance.billers.adapters import adapter_of
from issuance.billers.billers import WITH_API
from issuance.billers.dry_runs import RESULT
from issuance.billers.reconciliation import RUNNING, Reconciliation, Settle
from issuance.database import transaction
from issuance.database.fragments import GOES_ON
from issuance.engine import plans, runs
from issuance.errors import Conflict, Invalid, NotAPlan, PlanForgotten
from issuance.log import logger

if TYPE_CHECKING:  # only who asks for work needs the queue
    from dramatiq import Broker

#: How soon after a dry run from the beginning the same request is taken as its approval.
_ANSWERED_WITHIN = timedelta(hours=1)

_SINCE = text("""
    SELECT coalesce(reconciled_at, created_at) FROM billers WHERE brand_id = :brand_id AND biller_id = :biller_id
""")
# A dry run from the beginning that is finished and that nobody has answered yet.
_PLANNED = text("""
    SELECT r.run_id FROM runs r JOIN reconciliations c USING (brand_id, run_id)
     WHERE r.brand_id = :brand_id AND c.biller_id = :biller_id AND c.since IS NULL AND r.dry_run
       AND r.state = 'finished' AND r.finished_at > clock_timestamp() - CAST(:within AS interval)
       AND NOT EXISTS (SELECT FROM runs a WHERE (a.brand_id, a.plan_id) = (r.brand_id, r.run_id))
     ORDER BY r.finished_at DESC LIMIT 1
""")
_APPROVED = text("SELECT run_id FROM runs WHERE brand_id = :brand_id AND plan_id = :plan_id")
# A worker holds the run for a while, and again with each page.
_CLAIM = text(f"""
    UPDATE reconciliations c SET next_at = clock_timestamp() + interval '2 minutes'
      FROM runs r
     WHERE c.brand_id = :brand_id AND c.run_id = :run_id AND c.next_at <= clock_timestamp()
       AND (r.brand_id, r.run_id) = (c.brand_id, c.run_id) AND {GOES_ON}
    RETURNING c.biller_id, c.since, c.position, r.dry_run, r.created_at
""")
_FINISH = text(f"""
    UPDATE runs r SET state = :state, finished_at = clock_timestamp()
     WHERE brand_id = :brand_id AND run_id = :run_id AND {GOES_ON}
""")
# Only a run that covers everything since the last look: otherwise nobody has looked at what lies between.
_LOOKED = text("""
    UPDATE billers SET reconciled_at = greatest(reconciled_at, :at)
     WHERE brand_id = :brand_id AND biller_id = :biller_id
       AND coalesce(CAST(:since AS timestamptz) <= coalesce(reconciled_at, created_at), true)
""")
_READ = text("""
    SELECT c.biller_id, c.since, c.result, c.error FROM reconciliations c
     WHERE c.brand_id = :brand_id AND c.run_id = :run_id
""")
_STALLED = text(f"""
    SELECT c.brand_id, c.biller_id, c.run_id FROM reconciliations c JOIN runs r USING (brand_id, run_id)
     WHERE {GOES_ON} AND c.next_at <= clock_timestamp()
     ORDER BY row_number() OVER (PARTITION BY c.brand_id), c.run_id LIMIT :most
""")
# Between one and five at night in the brand's zone, or at any time after a night was missed. Brands take turns.
_NIGHTLY = text("""
    SELECT b.brand_id, b.biller_id FROM billers b JOIN brands USING (brand_id)
     WHERE b.api_key IS NOT NULL AND b.kind = ANY(:with_api)
       AND coalesce(b.reconciled_at, b.created_at) < clock_timestamp() - CASE
           WHEN extract(hour FROM clock_timestamp() AT TIME ZONE brands.timezone) BETWEEN 1 AND 4
           THEN interval '12 hours' ELSE interval '36 hours' END
       AND NOT EXISTS (SELECT FROM reconciliations c JOIN runs r USING (brand_id, run_id)
                        WHERE c.brand_id = b.brand_id AND c.biller_id = b.biller_id
                          AND (r.finished_at IS NULL OR r.created_at > clock_timestamp() - interval '6 hours'))
     ORDER BY row_number() OVER (PARTITION BY b.brand_id), b.biller_id LIMIT :most
""")


def start(
    connection: Connection,
    brand_id: UUID,
    biller_id: UUID,
    *,
    since: datetime | None = None,
    everything: bool = False,
    dry_run: bool = False,
    nightly: bool = False,
) -> UUID:
    """Accept a run that reconciles a biller, and return the run's id. It looks at what was made since an instant, since
    the last run, or from the beginning (`everything`). From the beginning it is a dry run first; the same request soon
    after that approves it. Raises NotFound, Invalid, Conflict."""
    biller = billers.get(connection, brand_id, biller_id)
    if since is not None and everything:
        raise Invalid(fields={"since": "says nothing where all is reconciled"})
    if not biller.can_be_asked:
        raise Conflict("This biller can not be asked: it has no API key.")
    if since is None and not everything:
        since = connection.scalar(_SINCE, {"brand_id": brand_id, "biller_id": biller_id})
    plan_id: UUID | None = None
    if everything and not dry_run:
        plan_id = connection.scalar(
            _PLANNED, {"brand_id": brand_id, "biller_id": biller_id, "within": _ANSWERED_WITHIN}
        )
        dry_run = plan_id is None
    return starting.start(connection, brand_id, biller_id, since, dry_run=dry_run, plan_id=plan_id, audited=not nightly)


class Approved(NamedTuple):
    """The run that does what a plan says."""

    run_id: UUID
    #: The biller to ask, if the run reconciles.
    biller_id: UUID | None = None

    def hint(self, broker: "Broker", brand_id: UUID) -> None:
        """Ask for it to be worked on."""
        from issuance import hints  # late: it brings the queue

        if self.biller_id is None:
            hints.work_on_run(broker, brand_id, self.run_id)
        else:
            hints.ask_biller(broker, brand_id, self.biller_id)


def approve(connection: Connection, brand_id: UUID, run_id: UUID, reason: str | None) -> Approved:
    """Accept the run that does what a dry run of any kind says; a second approval returns the same run. Raises
    NotFound, NotAPlan, PlanForgotten."""
    plan = runs.lock(connection, brand_id, run_id)
    if plan is None or plan.kind != "reconcile":
        return Approved(plans.approve(connection, brand_id, run_id, reason))
    if not plan.dry_run or plan.state != "finished":
        raise NotAPlan
    was = connection.execute(_READ, {"brand_id": brand_id, "run_id": run_id}).one()
    approved = connection.scalar(_APPROVED, {"brand_id": brand_id, "plan_id": run_id})
    if approved is None:
        if plans.is_forgotten(connection, brand_id, run_id):
            raise PlanForgotten
        approved = starting.start(connection, brand_id, was.biller_id, was.since, plan_id=run_id, reason=reason)
    return Approved(approved, was.biller_id)


def read(connection: Connection, brand_id: UUID, run_id: UUID) -> dict[str, Any]:
    """A run that reconciles: since when it looks, what stopped it, and the result of a dry run. Raises NotFound."""
    run = runs.read(connection, brand_id, run_id)
    row = connection.execute(_READ, {"brand_id": brand_id, "run_id": run_id}).mappings().one_or_none()
    return {**run, **(dict(row) if row is not None else {})}


def stalled(connection: Connection, *, most: int) -> list[tuple[UUID, UUID, UUID]]:
    """Runs, with their brand and biller, that nobody works on."""
    return [(row.brand_id, row.biller_id, row.run_id) for row in connection.execute(_STALLED, {"most": most})]


def due_nightly(connection: Connection, *, most: int) -> list[tuple[UUID, UUID]]:
    """The billers, with their brand, whose night has come: start a `nightly` run for each."""
    found = connection.execute(_NIGHTLY, {"with_api": list(WITH_API), "most": most})
    return [(row.brand_id, row.biller_id) for row in found]


def work(engine: Engine, brand_id: UUID, run_id: UUID, settle: Settle) -> None:
    """Work on a run until it is done or paused, or until the biller does not answer, which ends it. Does nothing if
    somebody else works on it. `settle` gets the memberships that have news, after each commit."""
    ids = {"brand_id": brand_id, "run_id": run_id}
    with transaction(engine, brand_id) as connection:
        claimed = connection.execute(_CLAIM, ids).one_or_none()
        if claimed is None:
            return
        connection.execute(RUNNING, ids)
        biller = billers.get(connection, brand_id, claimed.biller_id)
    try:
        if not biller.can_be_asked:
            raise CanNotBeAsked("its API key was taken away")
        adapter, api_key = adapter_of(biller), biller.api_key
        assert isinstance(adapter, Askable), "it can be asked"
        assert api_key is not None, "it can be asked"
        with adapter.api(api_key) as asked:
            if claimed.dry_run:
                dry_runs.work(engine, biller, adapter, asked, claimed, ids)
            elif not Reconciliation(engine, biller, adapter, asked, claimed, ids, settle).work():
                return
    except CanNotBeAsked as refusal:
        logger.warning("biller_not_reconciled", brand=str(brand_id), run=str(run_id), error=str(refusal))
        with transaction(engine, brand_id) as connection:
            connection.execute(RESULT, {**ids, "result": None, "error": f"The biller can not be asked: {refusal}."})
            if connection.execute(_FINISH, {**ids, "state": "cancelled"}).rowcount:
                runs.tell_finished(connection, brand_id, run_id)
        return
    with transaction(engine, brand_id) as connection:
        if connection.execute(_FINISH, {**ids, "state": "finished"}).rowcount == 0:
            return
        runs.tell_finished(connection, brand_id, run_id)
        if not claimed.dry_run:
            looked = {"at": claimed.created_at, "since": claimed.since}
            connection.execute(_LOOKED, {"brand_id": brand_id, "biller_id": biller.biller_id, **looked})

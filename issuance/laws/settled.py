"""Law 9 as a live database shows it: the queue affects latency, so nothing that fell due is left lying.

What is more than a few minutes old and still not settled means that nobody works (or that a
membership fails and is set apart: then credits are owed that nobody issues). So is a membership that is planned to be
looked at only after something falls due.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits
from issuance.database.fragments import UNSETTLED, due
from issuance.laws.law import MOST_OFFENDERS, Law, Offender
from issuance.laws.paper import Paper
from issuance.tenancy import clock

_BEGAN = text("SELECT now()")

UNSETTLED_EVENTS = text(f"""
    SELECT 'an event waits to be settled' AS wrong, e.membership_id, e.source, e.event_id, e.type, e.received_at
      FROM {UNSETTLED}
       AND e.brand_id = :brand_id AND e.received_at < now() - make_interval(mins => :minutes) AND e.time < :now
     ORDER BY e.received_at
     LIMIT :most
""")

# A sandbox clock that stands still has nothing due behind it, except while a move is under way.
OVERDUE = text(f"""
    SELECT 'it fell due and was not looked at' AS wrong, membership_id, due_at, settled_at, attempts, last_error
      FROM schedules s JOIN membership_schedules USING (brand_id, schedule_id)
     WHERE brand_id = :brand_id AND {due("CAST(:now AS timestamptz) - make_interval(mins => :minutes)")}
     ORDER BY due_at
     LIMIT :most
""")

# Whoever reads from a biller says so at each page, and counts at the end. A run that was paused begins anew.
STALLED_RUNS = text("""
    SELECT 'this run gets nowhere' AS wrong, run_id, kind, state, run.created_at, max(batch.finished_at) AS moved_at
      FROM runs AS run
      LEFT JOIN run_batches AS batch USING (brand_id, run_id)
     WHERE brand_id = :brand_id AND run.finished_at IS NULL AND state <> 'paused'
       AND NOT EXISTS (SELECT FROM reconciliations asked
                        WHERE (asked.brand_id, asked.run_id) = (run.brand_id, run.run_id)
                          AND asked.next_at > now())
       AND NOT EXISTS (SELECT FROM audit_entries resumed
                        WHERE resumed.brand_id = run.brand_id AND resumed.subject_id = CAST(run.run_id AS text)
                          AND resumed.action = 'run.resumed'
                          AND resumed.at > now() - make_interval(mins => :minutes))
     GROUP BY brand_id, run_id
    HAVING greatest(run.created_at, max(batch.finished_at)) < now() - make_interval(mins => :minutes)
     LIMIT :most
""")

QUARANTINED = text("""
    SELECT 'it fails and is set apart (issuance quarantine list)' AS wrong, schedule_id AS membership_id,
           quarantined_at, attempts, last_error
      FROM schedules
     WHERE brand_id = :brand_id AND quarantined_at IS NOT NULL
     ORDER BY quarantined_at
     LIMIT :most
""")


ASTRAY = text("""
    SELECT 'it waits by a schedule that is not there, or not for it' AS wrong, pointed.membership_id,
           pointed.schedule_id
      FROM membership_schedules AS pointed
      LEFT JOIN schedules AS by USING (brand_id, schedule_id)
     WHERE pointed.brand_id = :brand_id
       AND (by.schedule_id IS NULL OR by.size = 0 OR by.shared = (pointed.schedule_id = pointed.membership_id))
     LIMIT :most
""")


def _now(connection: Connection, brand_id: UUID) -> datetime:
    """The brand's now as its transaction began. What came and fell due since, a check that takes long does not see
    settled."""
    present = clock.read(connection, brand_id)
    return present.now if present.stands_still else connection.execute(_BEGAN).scalar_one()


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Events, memberships and runs that wait too long, and memberships in quarantine."""
    arguments = {
        "brand_id": brand_id,
        "now": _now(connection, brand_id),
        "minutes": limits.current.reports.late_minutes,
        "most": MOST_OFFENDERS,
    }
    for statement in (UNSETTLED_EVENTS, OVERDUE, STALLED_RUNS, QUARANTINED, ASTRAY):
        yield [dict(row) for row in connection.execute(statement, arguments).mappings()]


def judge(paper: Paper) -> Iterator[Offender]:
    """Memberships that would sleep through something. `issuance check --repair` wakes them."""
    due_at, must_be = paper.membership.state.due_at, paper.settlement.due_at
    if must_be is not None and (due_at is None or due_at > must_be):
        yield {
            "wrong": "it is looked at too late",
            "membership_id": paper.membership.membership_id,
            "due_at": due_at,
            "must_be_due_at": must_be,
        }


LAW = Law(9, "settled", "Whatever fell due is settled within minutes, with or without the queue.", ask, judge)

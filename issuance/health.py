"""Whether the parts that a process needs are there, and the figures that an operator watches (INTERFACE 10)."""

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from issuance import limits
from issuance.database import full, row_security
from issuance.database.fragments import BRANDS_NOW, DELIVERY_DUE, ENDED, UNSETTLED, due
from issuance.database.revisions import standing_of
from issuance.database.statements import driver_of
from issuance.database.tables.webhooks import DISABLED_BY_HAND
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.settings import OwnSettings, read

#: Counting stops here: past it, "very many" is all that an operator needs to know.
MOST_COUNTED = 100_000

_FIGURES = text(f"""
    WITH unsettled AS MATERIALIZED (SELECT e.received_at FROM {UNSETTLED} LIMIT :most)
    SELECT (SELECT count(*) FROM (
                SELECT FROM brands b
                  JOIN schedules s USING (brand_id) JOIN membership_schedules p USING (brand_id, schedule_id)
                 WHERE {due(BRANDS_NOW)}
                 LIMIT :most) due) AS memberships_due,
           (SELECT count(*) FROM unsettled) AS events_unsettled,
           (SELECT extract(epoch FROM clock_timestamp() - min(received_at)) FROM unsettled)
               AS oldest_unsettled_event_seconds,
           (SELECT count(*) FROM (SELECT FROM rejected_events LIMIT :most) rejected) AS events_rejected,
           (SELECT count(*) FROM schedules WHERE quarantined_at IS NOT NULL) AS memberships_quarantined,
           (SELECT count(*) FROM quarantined_messages) AS messages_quarantined,
           (SELECT count(*) FROM runs WHERE finished_at IS NULL) AS runs_unfinished,
           (SELECT count(*) FROM (
                SELECT FROM webhooks w JOIN deliveries d USING (brand_id, webhook_id)
                 WHERE w.disabled_at IS NULL AND {DELIVERY_DUE}
                 LIMIT :most) due) AS deliveries_due,
           (SELECT count(*) FROM webhooks WHERE disabled_at IS NOT NULL) AS webhooks_disabled,
           (SELECT count(*) FROM webhooks WHERE disabled_reason <> :by_hand) AS webhooks_given_up,
           (SELECT count(*) FROM held_rules) AS rules_held,
           (SELECT count(*) FROM (SELECT FROM charges WHERE pays_for_nothing LIMIT :most) idle) AS charges_for_nothing,
           (SELECT count(*) FROM (SELECT FROM biller_deliveries d
                 WHERE d.state <> 'translated' AND d.state = 'pending' LIMIT :most) d) AS biller_deliveries_pending,
           (SELECT count(*) FROM (SELECT FROM biller_deliveries d
                 WHERE d.state <> 'translated' AND d.state IN ('waiting', 'asking') LIMIT :most) d)
               AS biller_deliveries_waiting,
           (SELECT count(*) FROM (SELECT FROM biller_deliveries d
                 WHERE d.state <> 'translated' AND d.state = 'unmappable' LIMIT :most) d)
               AS biller_deliveries_unmappable,
           (SELECT count(*) FROM billers b
             WHERE b.heard_at < clock_timestamp() - make_interval(hours => :silence)
               AND EXISTS (SELECT FROM biller_memberships o JOIN memberships m USING (brand_id, membership_id)
                            WHERE o.brand_id = b.brand_id AND o.biller_id = b.biller_id
                              AND m.status NOT IN {ENDED})) AS billers_silent,
           -- What is owed and not issued can not be counted at a glance: this is what the last check found.
           (SELECT sum(offenders) FROM verdicts WHERE law = 2) AS credits_missing,
           (SELECT sum(offenders) FROM verdicts WHERE law = 3) AS credits_extra,
           (SELECT count(DISTINCT law) FROM verdicts WHERE offenders > 0) AS laws_broken,
           (SELECT extract(epoch FROM clock_timestamp() - min(coalesce(last, created_at)))
              FROM brands LEFT JOIN (SELECT brand_id, max(checked_at) AS last FROM verdicts GROUP BY brand_id) checks
                   USING (brand_id)) AS last_check_seconds,
           -- Of the statistics: no count over a table that may hold a hundred million rows.
           (SELECT n_tup_ins FROM pg_stat_user_tables
             WHERE relname = 'credits' AND schemaname = current_schema()) AS credits_issued
""")

# A standby that was not promoted, and a server whose operator forbids writing, answer and are of no use.
_NOT_WRITABLE = text("""
    SELECT CASE WHEN pg_is_in_recovery() THEN 'recovering'
                WHEN current_setting('transaction_read_only')::boolean THEN 'read_only' END
""")

#: What each figure means.
MEANINGS = {
    "memberships_due": "Memberships that fell due and wait for settling",
    "events_unsettled": "Accepted events of known memberships that wait for settling; quarantined ones do not count",
    "oldest_unsettled_event_seconds": "How long the oldest of them has waited",
    "events_rejected": "Refused events that wait for the operator",
    "charges_for_nothing": "Charges that cover no billing date and no period of a rule: nothing is given for them",
    "biller_deliveries_pending": "Billers' webhooks that wait for their translation",
    "biller_deliveries_waiting": "Billers' webhooks that wait for something that is not known yet",
    "biller_deliveries_unmappable": "Billers' webhooks that can not be translated: mostly of prices that nobody mapped",
    "billers_silent": "Billers with active memberships who sent nothing for ISSUANCE_BILLER_SILENCE_HOURS",
    "memberships_quarantined": "Memberships whose settling failed again and again",
    "messages_quarantined": "Queue messages that could not be read",
    "runs_unfinished": "Runs that are planned, under way or paused",
    "deliveries_due": "Deliveries of webhooks whose next attempt is due",
    "webhooks_disabled": "Webhooks that are disabled, by hand or because they were given up",
    "webhooks_given_up": "Webhooks that are disabled because their receivers failed for days, or said 410",
    "rules_held": "Rules that a guard holds until a person speaks",
    "credits_missing": "Credits owed and not issued (expected less issued), by the last issuance check of each brand",
    "credits_extra": "Usable credits that nothing released, by the last issuance check of each brand",
    "laws_broken": "Laws with offenders, by the last issuance check of each brand",
    "last_check_seconds": "How long ago the brand was checked, or if never made, for which that is the longest",
    "credits_issued": "Credits written since PostgreSQL's statistics were last reset",
}


def failures(engine: Engine) -> dict[str, str]:
    """What a process can not do without and is not there, by part. Empty: ready. `database`: recovering (a standby
    that was not promoted), read_only, full (so this process was told when it wrote, a moment ago), or unreachable;
    `schema`: a sentence."""
    failed: dict[str, str] = {}
    try:
        with engine.connect() as connection:
            if state := connection.execute(_NOT_WRITABLE).scalar_one():
                failed["database"] = state
            elif full.was_met(within=limits.current.database.full_for):
                failed["database"] = "full"
            else:
                full.is_over()
            standing_of(driver_of(connection)).check()
            if tables := row_security.open_tables(connection):
                failed["schema"] = f"brands are not kept apart in {', '.join(tables)}. Run: issuance schema apply"
    except (SchemaAhead, SchemaBehind) as error:
        failed["schema"] = error.message
    except (SQLAlchemyError, psycopg.Error):
        failed["database"] = "unreachable"
    return failed


def figures(connection: Connection) -> dict[str, float]:
    """What an operator watches, by the names of MEANINGS; counts stop at MOST_COUNTED."""
    silence = read(OwnSettings).biller_silence_hours
    given = {"most": MOST_COUNTED, "silence": silence, "by_hand": DISABLED_BY_HAND}
    row = connection.execute(_FIGURES, given).mappings().one()
    return {name: float(row[name] or 0) for name in MEANINGS}

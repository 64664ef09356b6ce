"""Law 11: every change that the audit wants an entry for has exactly one, written in the transaction that made it.

A database shows it of what leaves a record of its own: saved rules, runs, points that were given, redemptions, members
who were archived or erased. What has no entry, more than one, or an entry of nothing, which is what is left where the
change was undone and the entry was not, is found. That every operation and command writes its entry, the tests show.

Where months of the audit were detached, entries are missed of nothing that was done before the first that is there.
"""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.laws.law import MOST_OFFENDERS, Law, Offender

# By what was done and to what: how often somebody did it, who is stamped on it since there is an audit (`least`), and
# how often it was done in all (`most`). Of what bears no stamp the former is known of brands that began with the audit.
MISCOUNTED = text("""
    WITH whole AS (
         SELECT EXISTS (SELECT FROM audit_entries
                         WHERE brand_id = :brand_id AND subject_id = CAST(CAST(:brand_id AS uuid) AS text)
                           AND action = 'brand.created') AS whole),
    -- From when on each change must have its entry, in real time and in the brand's; a day off, as clocks differ.
    since AS (
         SELECT CASE WHEN detached THEN coalesce(first.at, 'infinity') + interval '1 day' ELSE '-infinity' END AS at,
                CASE WHEN detached THEN coalesce(first.brand_time, 'infinity') + interval '1 day'
                     ELSE '-infinity' END AS brand_time
           FROM (SELECT NOT whole AND month.since IS NOT NULL AS detached, month.since
                   FROM whole, (SELECT since FROM parts_of('audit_entries') LIMIT 1) month) audit
           LEFT JOIN LATERAL (SELECT at, brand_time FROM audit_entries
                               WHERE brand_id = :brand_id AND entry_id >= audit.since
                               ORDER BY entry_id LIMIT 1) first ON detached),
    done AS (
         SELECT CASE WHEN deleted THEN 'credit_rule.deleted' WHEN version = 1 THEN 'credit_rule.created'
                     ELSE 'credit_rule.updated' END AS did,
                credit_rule_id AS subject_id, count(actor) FILTER (WHERE created_at > since.brand_time) AS least,
                count(*) AS most
           FROM rule_versions, since WHERE brand_id = :brand_id GROUP BY 1, 2
          UNION ALL
         SELECT 'run.created', run_id, count(actor) FILTER (WHERE created_at > since.at), count(*)
           FROM runs, since WHERE brand_id = :brand_id GROUP BY run_id
          UNION ALL
         SELECT 'wallet.credited', member_id, count(actor) FILTER (WHERE created_at > since.brand_time), count(*)
           FROM ledger_entries, since WHERE brand_id = :brand_id AND type = 'credit' GROUP BY member_id
          UNION ALL
         SELECT 'redemption', redemption_id, CASE WHEN whole THEN 1 ELSE 0 END, 1
           FROM redemptions, whole WHERE brand_id = :brand_id
          UNION ALL
         SELECT 'member.archived', member_id, CASE WHEN whole THEN archivings ELSE 0 END, NULL
           FROM members, whole WHERE brand_id = :brand_id AND archivings > 0
          UNION ALL
         SELECT 'member.erased', member_id, CASE WHEN erased_at > since.brand_time THEN 1 ELSE 0 END, 1
           FROM members, since WHERE brand_id = :brand_id AND erased_at IS NOT NULL
          UNION ALL
         SELECT 'credit.transferred', credit_id, 0, count(*)
           FROM transfers WHERE brand_id = :brand_id GROUP BY credit_id),
    entered AS (
         SELECT did, subject_id, count(*) AS entries
           FROM (SELECT CASE WHEN action IN ('redemption.created', 'credit.redeemed') THEN 'redemption'
                             ELSE action END AS did,
                        CAST(CASE WHEN action = 'credit.redeemed' THEN after ->> 'redemption_id'
                                  ELSE subject_id END AS uuid) AS subject_id
                   FROM audit_entries
                  WHERE brand_id = :brand_id
                    AND action IN ('credit_rule.created', 'credit_rule.updated', 'credit_rule.deleted', 'run.created',
                                   'wallet.credited', 'redemption.created', 'credit.redeemed', 'member.archived',
                                   'member.erased', 'credit.transferred')) named
          GROUP BY did, subject_id)
    SELECT CASE WHEN done.subject_id IS NULL THEN 'an entry of what is not there'
                WHEN coalesce(entries, 0) < least THEN 'it has no entry'
                ELSE 'it has more than one entry' END AS wrong,
           did, subject_id, coalesce(most, least) AS times, coalesce(entries, 0) AS entries
      FROM done FULL JOIN entered USING (did, subject_id)
     WHERE done.subject_id IS NULL OR coalesce(entries, 0) < least OR entries > most
     LIMIT :number
""")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """What was done without an entry, or has several; and entries of what is not there."""
    rows = connection.execute(MISCOUNTED, {"brand_id": brand_id, "number": MOST_OFFENDERS}).mappings()
    yield [dict(row) for row in rows]


LAW = Law(11, "audited", "What somebody changed has exactly one entry in the audit, of the same transaction.", ask)

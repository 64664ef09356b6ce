"""The outbox, its deliveries and the audit are in parts by the month, so that an old month goes in a moment.

The tables that are there become the parts of all that is older, where they stand. Old processes go on: names and
columns stay. Deliveries have their event in their key.
"""

from issuance.database.schema.steps import Index, Sql, Steps, Validate, kept_apart

revision = "before_0027"
down_revision = "before_0026"

RELEASE = "0.3.0"

# As they stand in schema.sql.
_KEEP_APART = """
CREATE OR REPLACE FUNCTION keep_apart(rows_of_brands regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- In sub-selects, so that a statement asks once and not for each row.
    own text := $own$ brand_id = (SELECT nullif(nullif(current_setting('issuance.brand_id', true), ''), '*')::uuid)
                      OR (SELECT current_setting('issuance.brand_id', true) = '*') $own$;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', rows_of_brands);
    EXECUTE format('DROP POLICY IF EXISTS of_one_brand ON %s', rows_of_brands);
    EXECUTE format('CREATE POLICY of_one_brand ON %s USING (%s) WITH CHECK (%s)', rows_of_brands, own, own);
END $$;
"""
_MONTHS = r"""
CREATE OR REPLACE FUNCTION least_id(day date) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CAST(rpad(lpad(to_hex(CAST(least(greatest(extract(epoch FROM day), 0) * 1000, 281474976710655) AS bigint)),
                          12, '0'), 32, '0') AS uuid)
$$;
CREATE OR REPLACE FUNCTION parts_of(whole regclass) RETURNS TABLE (part name, since uuid, until uuid)
    LANGUAGE sql STABLE AS $$
    SELECT c.relname, CAST(substring(bounds FROM 'FROM \(''(.{36})''\)') AS uuid),
           CAST(substring(bounds FROM 'TO \(''(.{36})''\)') AS uuid)
      FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid, pg_get_expr(c.relpartbound, c.oid) AS bounds
     WHERE inhparent = whole AND bounds <> 'DEFAULT'
     ORDER BY 3
$$;
CREATE OR REPLACE FUNCTION make_part(whole text, suffix text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := whole || '_' || suffix;
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, whole);
    PERFORM keep_apart(CAST(part AS regclass));
    IF whole = 'deliveries' THEN
        -- Of one month alone, so that the two parts go without a look at other rows.
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT deliveries_of_event
                            FOREIGN KEY (brand_id, event_id) REFERENCES %I', part, 'webhook_events_' || suffix);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I %s', whole, part, bounds);
END $$;
CREATE OR REPLACE FUNCTION make_month(whole text, first date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    begins uuid := least_id(first);
    ends uuid := least_id(CAST(first + interval '1 month' AS date));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('issuance months'));
    IF EXISTS (SELECT FROM parts_of(CAST(whole AS regclass)) AS there
                WHERE coalesce(there.since < ends, true) AND there.until > begins) THEN
        RETURN false;
    END IF;
    PERFORM make_part(whole, to_char(first, 'YYYY_MM'), format('FOR VALUES FROM (%L) TO (%L)', begins, ends));
    RETURN true;
END $$;
"""
# What is there is older than a month that is two to three months ahead, so that nothing that is written meanwhile is
# refused, unless an upgrade stands still for so long. Where a clock was wrong and an id is later, all stays one part.
_BOUND = """
DO $$
DECLARE
    whole text;
    key text;
    latest uuid;
    bound uuid := least_id(CAST(date_trunc('month', now() AT TIME ZONE 'UTC') + interval '3 months' AS date));
BEGIN
    FOR whole, key IN VALUES ('audit_entries', 'entry_id'), ('webhook_events', 'event_id') LOOP
        EXECUTE format('SELECT max(CAST((SELECT %2$I FROM %1$I t WHERE t.brand_id = b.brand_id
                                          ORDER BY %2$I DESC LIMIT 1) AS text)) FROM brands b', whole, key) INTO latest;
        IF latest >= bound THEN
            bound := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
        END IF;
    END LOOP;
    FOR whole, key IN VALUES ('audit_entries', 'entry_id'), ('webhook_events', 'event_id'), ('deliveries', 'event_id')
    LOOP
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%I < %L) NOT VALID',
                       whole, whole || '_earlier', key, bound);
    END LOOP;
END $$;
"""


def _attached(whole: str) -> str:
    """What was the table becomes its part up to the bound, which its CHECK shows without a look at its rows."""
    return f"""
        DO $$
        DECLARE
            bound text := (SELECT substring(pg_get_constraintdef(oid) FROM '[0-9a-f-]{{36}}') FROM pg_constraint
                            WHERE conrelid = CAST('{whole}_earlier' AS regclass) AND conname = '{whole}_earlier');
        BEGIN
            EXECUTE format('ALTER TABLE {whole} ATTACH PARTITION {whole}_earlier FOR VALUES FROM (MINVALUE) TO (%L)',
                           bound);
            PERFORM make_part('{whole}', 'other', 'DEFAULT');
        END $$;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE {whole}_earlier DROP CONSTRAINT {whole}_earlier;
    """


_AUDIT = f"""
    -- squawk-ignore renaming-table
    ALTER TABLE audit_entries RENAME TO audit_entries_earlier;
    -- squawk-ignore renaming-object
    ALTER INDEX audit_entries_pkey RENAME TO audit_entries_earlier_pkey;
    -- squawk-ignore renaming-object
    ALTER INDEX audit_entries_by_subject RENAME TO audit_entries_earlier_by_subject;
    DROP TRIGGER audit_entries_append_only ON audit_entries_earlier;
    CREATE TABLE audit_entries (
        LIKE audit_entries_earlier INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
        PRIMARY KEY (brand_id, entry_id),
        CONSTRAINT audit_entries_brand_id_fkey FOREIGN KEY (brand_id) REFERENCES brands
    ) PARTITION BY RANGE (entry_id);
    -- squawk-ignore ban-drop-constraint
    ALTER TABLE audit_entries DROP CONSTRAINT audit_entries_earlier;
    -- squawk-ignore require-concurrent-index-creation
    CREATE INDEX audit_entries_by_subject ON audit_entries (brand_id, subject_id, entry_id);
    CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    {kept_apart("audit_entries").statement};
    {_attached("audit_entries")}
"""
# Together: what is told and its deliveries are always of the same month's part.
_OUTBOX = f"""
    -- squawk-ignore renaming-table
    ALTER TABLE webhook_events RENAME TO webhook_events_earlier;
    -- squawk-ignore renaming-object
    ALTER INDEX webhook_events_pkey RENAME TO webhook_events_earlier_pkey;
    CREATE TABLE webhook_events (
        LIKE webhook_events_earlier INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
        PRIMARY KEY (brand_id, event_id),
        CONSTRAINT webhook_events_brand_id_fkey FOREIGN KEY (brand_id) REFERENCES brands
    ) PARTITION BY RANGE (event_id);
    -- squawk-ignore ban-drop-constraint
    ALTER TABLE webhook_events DROP CONSTRAINT webhook_events_earlier;
    {kept_apart("webhook_events").statement};
    {_attached("webhook_events")}
    -- squawk-ignore renaming-table
    ALTER TABLE deliveries RENAME TO deliveries_earlier;
    -- squawk-ignore renaming-object
    ALTER INDEX deliveries_once RENAME TO deliveries_earlier_once;
    -- squawk-ignore renaming-object
    ALTER INDEX deliveries_due RENAME TO deliveries_earlier_due;
    -- squawk-ignore renaming-object
    ALTER INDEX deliveries_by_event RENAME TO deliveries_earlier_by_event;
    -- squawk-ignore ban-drop-constraint
    ALTER TABLE deliveries_earlier DROP CONSTRAINT deliveries_pkey;
    ALTER TABLE deliveries_earlier
        ADD CONSTRAINT deliveries_earlier_pkey PRIMARY KEY USING INDEX deliveries_earlier_pkey;
    CREATE TABLE deliveries (
        LIKE deliveries_earlier INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
        PRIMARY KEY (brand_id, delivery_id, event_id),
        CONSTRAINT deliveries_once UNIQUE (brand_id, webhook_id, event_id),
        CONSTRAINT deliveries_to_webhook FOREIGN KEY (brand_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE
    ) PARTITION BY RANGE (event_id);
    -- squawk-ignore ban-drop-constraint
    ALTER TABLE deliveries DROP CONSTRAINT deliveries_earlier;
    -- squawk-ignore require-concurrent-index-creation
    CREATE INDEX deliveries_due ON deliveries (brand_id, webhook_id, next_at) WHERE state = 'pending';
    -- squawk-ignore require-concurrent-index-creation
    CREATE INDEX deliveries_by_event ON deliveries (brand_id, event_id);
    {kept_apart("deliveries").statement};
    {_attached("deliveries")}
"""

upgrade = Steps(
    Sql("how brands are kept apart", _KEEP_APART),
    Sql("how months are made", _MONTHS),
    Sql("what is there ends with a month", _BOUND),
    Validate("audit_entries", "audit_entries_earlier"),
    Validate("webhook_events", "webhook_events_earlier"),
    Validate("deliveries", "deliveries_earlier"),
    Index("deliveries_earlier_pkey", "deliveries", "(brand_id, delivery_id, event_id)", unique=True),
    Sql("the audit by the month", _AUDIT),
    Sql("the outbox and its deliveries by the month", _OUTBOX),
)

"""Months are made and dropped by functions of the tables' owner, so that the scheduler may own nothing.

Whoever may delete from the outbox may call them from now on. An old scheduler that owns the tables goes on as it did.
"""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0031"
down_revision = "before_0030"

RELEASE = "0.3.0"

# As they stand in schema.sql.
_MONTHS = """
CREATE OR REPLACE FUNCTION make_month(whole text, first date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
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
CREATE OR REPLACE FUNCTION drop_month(suffix text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM parts_of('webhook_events') WHERE part = 'webhook_events_' || suffix
                      AND until <= least_id(CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date))) THEN
        RAISE EXCEPTION 'no month of the outbox that is over is called %', suffix;
    END IF;
    EXECUTE format('DROP TABLE %I, %I', 'deliveries_' || suffix, 'webhook_events_' || suffix);
END $$;
DO $$
DECLARE
    theirs regprocedure;
BEGIN
    FOREACH theirs IN ARRAY ARRAY['make_month(text, date)', 'drop_month(text)']::regprocedure[] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', theirs, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', theirs);
    END LOOP;
END $$;
"""
_GRANTED = """
DO $$
DECLARE
    theirs text;
BEGIN
    FOR theirs IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(CAST(grantee AS regrole) AS text) END
          FROM pg_class, aclexplode(relacl)
         WHERE pg_class.oid = CAST('webhook_events' AS regclass) AND privilege_type = 'DELETE' AND grantee <> relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION make_month(text, date), drop_month(text) TO %s', theirs);
    END LOOP;
END $$;
"""

upgrade = Steps(Sql("months are made and dropped as their owner", _MONTHS + _GRANTED))

"""Processes of 0.2.0 keep from runs that they do not know: they did them as what they know.

They say so in their log, and newer processes do these runs."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0034"
down_revision = "before_0033"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_older_process() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF CAST(substring(current_setting('application_name') FROM '^issuance .* schema ([0-9]+)$') AS integer) < 12
       AND EXISTS (SELECT FROM runs r
                    WHERE (r.brand_id, r.run_id) = (NEW.brand_id, NEW.run_id)
                      AND (r.kind NOT IN ('sweep', 'issue', 'replay') OR (r.kind = 'issue' AND r.dry_run)
                           OR num_nonnulls(r.plan_id, r.only_memberships, r.only_members) > 0)) THEN
        RAISE EXCEPTION 'run % is none that % knows: a newer process works on it',
            NEW.run_id, current_setting('application_name');
    END IF;
    RETURN NEW;
END $$;
"""

upgrade = Steps(
    Sql("what refuses", _REFUSE),
    Sql(
        "they plan none",
        """
        CREATE OR REPLACE TRIGGER runs_not_by_older BEFORE UPDATE OF state ON runs
            FOR EACH ROW WHEN (OLD.state = 'planned' AND NEW.state = 'running') EXECUTE FUNCTION refuse_older_process();
        """,
    ),
    Sql(
        "they work on none",
        """
        CREATE OR REPLACE TRIGGER run_batches_not_by_older BEFORE UPDATE ON run_batches
            FOR EACH ROW EXECUTE FUNCTION refuse_older_process();
        """,
    ),
)

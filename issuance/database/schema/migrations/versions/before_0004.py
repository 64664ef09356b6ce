"""Who did it: an audit, and actors where something was made or revoked.

Old processes go on without: what they write names nobody. Keys get names, which old ones do not read."""

from issuance.database.schema.steps import Index, Sql, Steps, Validate, kept_apart

revision = "before_0004"
down_revision = "before_0003"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "who acts in a transaction",
        """
CREATE OR REPLACE FUNCTION acting() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CAST(nullif(current_setting('issuance.actor', true), '') AS jsonb)
$$;
""",
    ),
    Sql(
        "audit",
        """
CREATE TABLE audit_entries (
    brand_id   uuid NOT NULL REFERENCES brands,
    entry_id   uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    brand_time timestamptz NOT NULL,
    actor      jsonb NOT NULL DEFAULT coalesce(acting(), '{"kind": "system", "id": null, "name": null}'),
    action     text NOT NULL,
    subject_id text NOT NULL,
    reason     text,
    before     jsonb,
    after      jsonb,
    request_id text DEFAULT nullif(current_setting('issuance.request_id', true), ''),
    PRIMARY KEY (brand_id, entry_id),
    CONSTRAINT audit_entries_actor_known
        CHECK (actor ->> 'kind' IN ('key', 'member', 'person', 'biller', 'system', 'command')),
    CONSTRAINT audit_entries_action_names_its_noun CHECK (action ~ '^[a-z]+(_[a-z]+)*[.][a-z]+(_[a-z]+)*$')
);
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
""",
    ),
    Index("audit_entries_by_subject", "audit_entries", "(brand_id, subject_id, entry_id)"),
    kept_apart("audit_entries"),
    Sql("keys have names", "ALTER TABLE api_keys ADD COLUMN name text"),
    *(
        Sql(
            f"{table} name their actor",
            f"ALTER TABLE {table} ADD COLUMN actor jsonb;\nALTER TABLE {table} ALTER actor SET DEFAULT acting()",
        )
        for table in ("rule_versions", "runs", "ledger_entries")
    ),
    Sql(
        "who revoked a credit",
        """
ALTER TABLE credits ADD COLUMN revoked_actor jsonb;
ALTER TABLE credits ADD CONSTRAINT credits_revoked_actor_of_operator
    CHECK (revoked_actor IS NULL OR revoked_by = 'operator') NOT VALID;
""",
    ),
    Validate("credits", "credits_revoked_actor_of_operator"),
)

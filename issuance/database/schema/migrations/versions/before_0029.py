"""Keys know what they begin with, and when they end by themselves: whatever takes their place is as they were.

What a key begins with is noted when it is next used. When those end that old processes make says the trigger; of those
that are there, the audit says which end sooner because another took their place."""

from issuance.database.schema.steps import Backfill, Sql, Steps, Validate

revision = "before_0029"
down_revision = "before_0028"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_FROM_NOW_ON = """
CREATE OR REPLACE FUNCTION keep_own_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ends_at := coalesce(NEW.ends_at, NEW.expires_at);
    RETURN NEW;
END $$;
CREATE TRIGGER api_keys_keep_own_end BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION keep_own_end();
"""

upgrade = Steps(
    Sql(
        "keys know their prefix and their own end",
        """
        ALTER TABLE api_keys ADD COLUMN prefix text, ADD COLUMN ends_at timestamptz;
        ALTER TABLE api_keys ADD CONSTRAINT api_keys_prefix_short CHECK (prefix ~ '^[a-z][0-9a-z]{0,15}$') NOT VALID;
        """,
    ),
    Sql("from now on", _FROM_NOW_ON),
    Validate("api_keys", "api_keys_prefix_short"),
    Backfill(
        "what is there",
        table="api_keys",
        key=("brand_id", "key_id"),
        statement="UPDATE api_keys SET ends_at = expires_at"
        " WHERE {range} AND ends_at IS NULL AND expires_at IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM audit_entries a WHERE a.brand_id = api_keys.brand_id"
        " AND a.subject_id = CAST(api_keys.key_id AS text) AND a.action = 'key.rotated')",
    ),
)

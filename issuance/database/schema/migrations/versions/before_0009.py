"""Keys expire, and one scope more opens tokens; secrets of webhooks are rotated.

A key that holds `write` could become any member, and goes on holding that.
"""

from issuance.database.schema.steps import Backfill, Sql, Steps, Validate

revision = "before_0009"
down_revision = "before_0008"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "keys expire and open tokens",
        """
        ALTER TABLE api_keys ADD COLUMN expires_at timestamptz;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE api_keys DROP CONSTRAINT api_keys_scopes_known;
        ALTER TABLE api_keys
            ADD CONSTRAINT api_keys_scopes_known
                CHECK (scopes <@ ARRAY['read', 'write', 'issue', 'tokens', 'admin'] AND cardinality(scopes) > 0)
                NOT VALID;
        """,
    ),
    Validate("api_keys", "api_keys_scopes_known"),
    Backfill(
        "who could make tokens still can",
        table="api_keys",
        key=("brand_id", "key_id"),
        statement="UPDATE api_keys SET scopes = scopes || ARRAY['tokens'] WHERE {range} AND 'write' = ANY(scopes)"
        " AND NOT 'tokens' = ANY(scopes)",
    ),
    Sql(
        "webhooks have a former secret",
        """
        ALTER TABLE webhooks ADD COLUMN former_secret bytea, ADD COLUMN former_until timestamptz;
        ALTER TABLE webhooks
            ADD CONSTRAINT webhooks_former_secret_ends
                CHECK ((former_secret IS NULL) = (former_until IS NULL)) NOT VALID;
        """,
    ),
    Validate("webhooks", "webhooks_former_secret_ends"),
)

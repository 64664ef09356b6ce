"""A key knows whose place it took, so that Idempotency-Keys outlive a rotation; answers have their Location.

Old processes write neither: a key that they rotate has Idempotency-Keys of its own, as before."""

from issuance.database.schema.steps import Sql, Steps, Validate

revision = "before_0030"
down_revision = "before_0029"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "keys know whose place they took",
        """
        ALTER TABLE api_keys ADD COLUMN first_key_id uuid;
        ALTER TABLE api_keys
            ADD CONSTRAINT api_keys_first FOREIGN KEY (brand_id, first_key_id) REFERENCES api_keys NOT VALID;
        """,
    ),
    Sql("answers have a location", "ALTER TABLE idempotency_keys ADD COLUMN location text"),
    Validate("api_keys", "api_keys_first"),
)

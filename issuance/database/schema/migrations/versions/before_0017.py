"""People can be forgotten (SEMANTICS 20).

Old processes know nothing of it: erase nobody before they are replaced, or what they take in names them again.
"""

from issuance.database.schema.steps import Index, Sql, Steps, Validate, kept_apart

revision = "before_0017"
down_revision = "before_0016"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_APPEND_ONLY = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('issuance.forgetting', true) = 'on' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of % is refused: it is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""

upgrade = Steps(
    Sql(
        "members can be forgotten",
        """
        ALTER TABLE members ADD COLUMN erased_at timestamptz;
        ALTER TABLE members ADD CONSTRAINT members_erased_are_archived
            CHECK (erased_at IS NULL OR (archived_at IS NOT NULL
                AND num_nonnulls(display_name, email, attributes) = 0)) NOT VALID;
        """,
    ),
    Validate("members", "members_erased_are_archived"),
    Sql("events are known by what they said", "ALTER TABLE billing_events ADD COLUMN said_hash bytea"),
    Sql(
        "what forgotten people were named by",
        """
        CREATE TABLE erased_names (
            brand_id  uuid NOT NULL,
            name_hash bytea NOT NULL,
            member_id uuid NOT NULL,
            PRIMARY KEY (brand_id, name_hash),
            CONSTRAINT erased_names_of_member FOREIGN KEY (brand_id, member_id) REFERENCES members,
            CONSTRAINT erased_names_hashed CHECK (octet_length(name_hash) = 32)
        );
        """,
    ),
    kept_apart("erased_names"),
    Index("erased_names_by_member", "erased_names", "(brand_id, member_id)"),
    Sql(
        "what is append-only lets names be forgotten",
        _APPEND_ONLY,
    ),
)

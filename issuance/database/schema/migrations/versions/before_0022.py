"""The console's people may have an account with the operator's identity provider, and see their browsers."""

from issuance.database.schema.steps import Index, Sql, Steps, Validate

revision = "before_0022"
down_revision = "before_0021"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "people have accounts, sessions browsers",
        """
        ALTER TABLE people ADD COLUMN oidc_issuer text, ADD COLUMN oidc_subject text;
        ALTER TABLE people ADD CONSTRAINT people_account_whole
            CHECK ((oidc_issuer IS NULL) = (oidc_subject IS NULL)) NOT VALID;
        ALTER TABLE sessions ADD COLUMN browser text;
        """,
    ),
    Validate("people", "people_account_whole"),
    Index("people_by_account", "people", "(oidc_issuer, oidc_subject)", unique=True),
)

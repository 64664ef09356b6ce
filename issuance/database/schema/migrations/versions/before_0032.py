"""A batch knows which of its attempts are nothing against the membership that it came to.

Old processes note none: after so many attempts, whatever ended them, a run that settles nobody skips one, as before."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0032"
down_revision = "before_0031"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "attempts before",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE run_batches ADD COLUMN attempts_before integer NOT NULL DEFAULT 0;
        """,
    ),
)

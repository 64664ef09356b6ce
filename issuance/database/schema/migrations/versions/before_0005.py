"""Members know how often they were archived; what kept failing no longer shows SQL text.

So tokens of before an archiving are no good when the member is back.

Old processes go on without it: what they archive is not counted. New processes refuse the tokens that they give out.
"""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0005"
down_revision = "before_0004"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "archivings are counted",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE members ADD COLUMN archivings integer NOT NULL DEFAULT 0;
        """,
    ),
    Sql(
        "errors say no SQL",
        """
        UPDATE schedules SET last_error = split_part(last_error, ':', 1) WHERE attempts > 0 AND last_error IS NOT NULL;
        """,
        reads="schedules",
    ),
)

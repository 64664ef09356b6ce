"""When a biller was heard of last is noted beside it: what Issuance fetches by itself stands among its deliveries too.

Old processes note nothing: a biller that only they hear seems silent a day after this."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0037"
down_revision = "before_0036"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql("when they were heard", "ALTER TABLE billers ADD COLUMN heard_at timestamptz NOT NULL DEFAULT now()"),
)

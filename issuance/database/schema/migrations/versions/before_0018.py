"""Members know whether they kept their points when they were archived. Of those of before it is not known."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0018"
down_revision = "before_0017"

RELEASE = "0.3.0"

upgrade = Steps(Sql("who kept their points", "ALTER TABLE members ADD COLUMN balance_retained boolean"))

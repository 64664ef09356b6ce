"""A ticket's code is called its number: every process has to know it at once, so all are stopped."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0002"
down_revision = "before_0001"

RELEASE = "0.2.0"
BESIDE = False

upgrade = Steps(Sql("rename code", "ALTER TABLE tickets RENAME code TO number", reads="tickets"))

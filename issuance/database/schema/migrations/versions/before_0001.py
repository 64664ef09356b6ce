"""The tables of 0.1.0 (base.sql): a database that has them, and says nothing of itself, stands here."""

from issuance.database.schema.steps import Steps

revision = "before_0001"
down_revision = None
branch_labels = ("before",)

RELEASE = "0.1.0"

upgrade = Steps()

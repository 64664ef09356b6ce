"""A manual issue can be narrowed to some memberships or members.

Old processes do not know it, and would issue to everybody: none is narrowed until a new process asks for it.
"""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0012"
down_revision = "before_0011"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "runs can be narrowed",
        "ALTER TABLE runs ADD COLUMN only_memberships uuid[], ADD COLUMN only_members uuid[]",
    ),
)

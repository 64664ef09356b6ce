"""The schema of the database: made, compared, upgraded.

`apply` makes the newest schema (schema.sql) in an empty database, `upgrade` brings one of any version to it in steps
that processes can work beside, `status` says where it stands and `diff` what it has otherwise than schema.sql. Where a
schema stands, and whether this code can work with it, is `issuance.database.revisions`.
"""

from issuance.database.row_security import open_tables
from issuance.database.schema.comparison import diff
from issuance.database.schema.picture import apply
from issuance.database.schema.sessions import leads_elsewhere
from issuance.database.schema.status import Pending, Status, check, status
from issuance.database.schema.upgrades import Until, Upgraded, upgrade

__all__ = [
    "Pending",
    "Status",
    "Until",
    "Upgraded",
    "apply",
    "check",
    "diff",
    "leads_elsewhere",
    "open_tables",
    "status",
    "upgrade",
]

"""Where everything that runs *after* begins; there was nothing before 0.1.0 to take away."""

from issuance.database.schema.steps import Steps

revision = "after_0001"
down_revision = None
branch_labels = ("after",)

upgrade = Steps()

"""What a guard holds of a manual issue names its run, so that undoing the run reaches it.

Old processes name none: what they hold is undone by nobody, as before."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0028"
down_revision = "before_0027"

RELEASE = "0.3.0"

upgrade = Steps(Sql("held credits know their run", "ALTER TABLE held_credits ADD COLUMN run_id uuid"))

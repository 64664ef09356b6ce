"""What a guard held back and is not owed any more is as old as it was if it is owed again."""

from issuance.database.schema.steps import Sql, Steps, Validate

revision = "before_0024"
down_revision = "before_0023"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "held credits may lapse",
        """
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE held_credits DROP CONSTRAINT held_credits_state_known;
        ALTER TABLE held_credits
            ADD CONSTRAINT held_credits_state_known
                CHECK (state IN ('waiting', 'approved', 'refused', 'lapsed')) NOT VALID;
        """,
    ),
    Validate("held_credits", "held_credits_state_known"),
)

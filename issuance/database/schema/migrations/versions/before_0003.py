"""Credits are redeemed at their last use, and roll over into so many periods and no more (SEMANTICS 6).

Old processes go on without the limits: none is set until a new process saves a rule with one.
"""

from issuance.database.schema.steps import Sql, Steps, Validate

revision = "before_0003"
down_revision = "before_0002"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "rules have limits",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE rule_versions ADD COLUMN roll_over_limit integer, ADD COLUMN max_uses integer;
        ALTER TABLE rule_versions
            ADD CONSTRAINT rule_versions_roll_over_limit CHECK (roll_over_limit IS NULL
                OR (roll_over_limit BETWEEN 1 AND 60 AND roll_over AND issuing_frequency <> 'P0D')) NOT VALID,
            ADD CONSTRAINT rule_versions_max_uses
                CHECK (max_uses IS NULL OR (max_uses BETWEEN 2 AND 1000 AND multi_use)) NOT VALID;
        """,
    ),
    Validate("rule_versions", "rule_versions_roll_over_limit"),
    Validate("rule_versions", "rule_versions_max_uses"),
    Sql(
        "credits have a last use",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE credits ADD COLUMN max_uses integer;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE credits DROP CONSTRAINT credits_uses_counted;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE credits DROP CONSTRAINT credits_multi_use_never_redeemed;
        ALTER TABLE credits
            ADD CONSTRAINT credits_uses_counted
                CHECK (uses >= 0 AND uses <= CASE WHEN multi_use THEN max_uses ELSE 1 END) NOT VALID,
            ADD CONSTRAINT credits_max_uses
                CHECK (max_uses IS NULL OR (max_uses BETWEEN 2 AND 1000 AND multi_use)) NOT VALID,
            ADD CONSTRAINT credits_multi_use_redeemed_at_last
                CHECK (NOT multi_use OR (redeemed_at IS NOT NULL) = coalesce(uses = max_uses, false)) NOT VALID;
        """,
    ),
    Validate("credits", "credits_uses_counted"),
    Validate("credits", "credits_max_uses"),
    Validate("credits", "credits_multi_use_redeemed_at_last"),
)

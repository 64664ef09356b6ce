"""Credits, redemptions and members count their changes, for receivers of webhooks; and these are told of more.

Triggers count, so changes by old processes count too.
"""

from issuance.database.schema.steps import Sql, Steps, Validate

revision = "before_0019"
down_revision = "before_0018"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_COUNT_CHANGE = """
CREATE OR REPLACE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := coalesce(OLD.revision, 0) + 1;
    RETURN NEW;
END $$;
"""

upgrade = Steps(
    Sql(
        "how a change is counted",
        _COUNT_CHANGE,
    ),
    Sql(
        "changes of members count",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE members ADD COLUMN revision integer NOT NULL DEFAULT 1;
        CREATE OR REPLACE TRIGGER members_count_changes BEFORE UPDATE ON members
            FOR EACH ROW EXECUTE FUNCTION count_change();
        """,
    ),
    Sql(
        "changes of redemptions count",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE redemptions ADD COLUMN revision integer NOT NULL DEFAULT 1;
        CREATE OR REPLACE TRIGGER redemptions_count_changes BEFORE UPDATE ON redemptions
            FOR EACH ROW EXECUTE FUNCTION count_change();
        """,
    ),
    Sql(
        "changes of credits count",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE credits ADD COLUMN revision integer;
        CREATE OR REPLACE TRIGGER credits_count_changes
            BEFORE UPDATE OF code, period_end, expires_at, validity_ends_at, uses, redeemed_at, revoked_at, revoked_by,
                             revoked_reason, revoked_actor, flagged_at, extended_at, extended_to, transfer_id ON credits
            FOR EACH ROW EXECUTE FUNCTION count_change();
        """,
    ),
    Sql(
        "webhooks that are told of runs and of other changes",
        """
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE webhooks DROP CONSTRAINT webhooks_events_known;
        ALTER TABLE webhooks
            ADD CONSTRAINT webhooks_events_known
                CHECK (cardinality(events) > 0 AND events <@ ARRAY[
                    'credit.issued', 'credit.expired', 'credit.redeemed', 'credit.revoked', 'credit.restored',
                    'credit.skipped', 'credit.extended', 'credit.transferred', 'credit.updated', 'redemption.created',
                    'redemption.updated', 'wallet.credited', 'member.archived', 'rule.held', 'run.finished']) NOT VALID;
        """,
    ),
    Validate("webhooks", "webhooks_events_known"),
)

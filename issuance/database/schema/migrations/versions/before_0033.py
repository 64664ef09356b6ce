"""Wallets count their changes, and credits only what differs.

Triggers count, so changes by old processes count too.
"""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0033"
down_revision = "before_0032"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "changes of wallets count",
        """
        ALTER TABLE wallets ADD COLUMN revision bigint NOT NULL DEFAULT 1;
        CREATE OR REPLACE TRIGGER wallets_count_changes BEFORE UPDATE ON wallets
            FOR EACH ROW EXECUTE FUNCTION count_change();
        """,
    ),
    Sql(
        "what is written as it was is no change of a credit",
        """
        CREATE OR REPLACE TRIGGER credits_count_changes
            BEFORE UPDATE OF code, period_end, valid_from, expires_at, validity_ends_at, uses, redeemed_at, revoked_at,
                             revoked_by, revoked_reason, revoked_actor, flagged_at, extended_at, extended_to,
                             transfer_id ON credits
            FOR EACH ROW
            WHEN ((OLD.code, OLD.period_end, OLD.valid_from, OLD.expires_at, OLD.validity_ends_at, OLD.uses,
                   OLD.redeemed_at, OLD.revoked_at, OLD.revoked_by, OLD.revoked_reason, OLD.revoked_actor,
                   OLD.flagged_at, OLD.extended_at, OLD.extended_to, OLD.transfer_id) IS DISTINCT FROM
                  (NEW.code, NEW.period_end, NEW.valid_from, NEW.expires_at, NEW.validity_ends_at, NEW.uses,
                   NEW.redeemed_at, NEW.revoked_at, NEW.revoked_by, NEW.revoked_reason, NEW.revoked_actor,
                   NEW.flagged_at, NEW.extended_at, NEW.extended_to, NEW.transfer_id))
            EXECUTE FUNCTION count_change();
        """,
    ),
)

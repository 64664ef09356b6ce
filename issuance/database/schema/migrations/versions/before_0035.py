"""Changes of a credit are counted after its row was written, not before.

A trigger BEFORE each row locks every row that expires, though it counts none of these."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0035"
down_revision = "before_0034"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_COUNT = """
CREATE OR REPLACE FUNCTION count_change_of_credit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE credits SET revision = coalesce(revision, 0) + 1 WHERE (brand_id, credit_id) = (NEW.brand_id, NEW.credit_id);
    RETURN NULL;
END $$;
"""

upgrade = Steps(
    Sql("what counts", _COUNT),
    Sql(
        "it counts afterwards",
        """
        CREATE OR REPLACE TRIGGER credits_count_changes
            AFTER UPDATE OF code, period_end, valid_from, expires_at, validity_ends_at, uses, redeemed_at, revoked_at,
                            revoked_by, revoked_reason, revoked_actor, flagged_at, extended_at, extended_to,
                            transfer_id ON credits
            FOR EACH ROW
            WHEN (NEW.revision IS NOT DISTINCT FROM OLD.revision AND
                  (OLD.code, OLD.period_end, OLD.valid_from, OLD.expires_at, OLD.validity_ends_at, OLD.uses,
                   OLD.redeemed_at, OLD.revoked_at, OLD.revoked_by, OLD.revoked_reason, OLD.revoked_actor,
                   OLD.flagged_at, OLD.extended_at, OLD.extended_to, OLD.transfer_id) IS DISTINCT FROM
                  (NEW.code, NEW.period_end, NEW.valid_from, NEW.expires_at, NEW.validity_ends_at, NEW.uses,
                   NEW.redeemed_at, NEW.revoked_at, NEW.revoked_by, NEW.revoked_reason, NEW.revoked_actor,
                   NEW.flagged_at, NEW.extended_at, NEW.extended_to, NEW.transfer_id))
            EXECUTE FUNCTION count_change_of_credit();
        """,
    ),
)

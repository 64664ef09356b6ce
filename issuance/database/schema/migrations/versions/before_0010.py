# ruff: noqa: E501 - a function is compared with schema.sql letter by letter
"""What people correct: grants, extensions, transfers, and an archiving that is told from a person's no.

Old processes go on without; grants are to wait until they are gone, because they know no credit without a rule.
"""

from issuance.database.schema.steps import Backfill, Index, Sql, Steps, Validate, kept_apart

revision = "before_0010"
down_revision = "before_0009"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "credits can be extended, transferred, and granted under no rule",
        """
        ALTER TABLE credits
            ADD COLUMN extended_at timestamptz, ADD COLUMN extended_to timestamptz, ADD COLUMN transfer_id uuid;
        -- squawk-ignore ban-drop-not-null
        ALTER TABLE credits ALTER credit_rule_id DROP NOT NULL;
        -- squawk-ignore ban-drop-not-null
        ALTER TABLE credits ALTER rule_version DROP NOT NULL;
        -- squawk-ignore ban-drop-not-null
        ALTER TABLE credits ALTER period_start DROP NOT NULL;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE credits DROP CONSTRAINT credits_revoked_by_known;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE credits DROP CONSTRAINT credits_revoked_actor_of_operator;
        ALTER TABLE credits
            ADD CONSTRAINT credits_revoked_by_known
                CHECK (revoked_by IN ('facts', 'operator', 'archiving')) NOT VALID,
            ADD CONSTRAINT credits_revoked_actor_of_people
                CHECK (revoked_actor IS NULL OR revoked_by <> 'facts') NOT VALID,
            ADD CONSTRAINT credits_of_a_rule_or_granted
                CHECK (num_nulls(credit_rule_id, rule_version, period_start) = 0
                    OR (num_nulls(credit_rule_id, rule_version, period_start, period_end, run_id) = 5
                        AND manual AND roll_over AND reissue = 0)) NOT VALID,
            ADD CONSTRAINT credits_extended
                CHECK ((extended_at IS NULL) = (extended_to IS NULL) AND expires_at >= extended_to) NOT VALID;
        """,
    ),
    *(
        Validate("credits", name)
        for name in (
            "credits_revoked_by_known",
            "credits_revoked_actor_of_people",
            "credits_of_a_rule_or_granted",
            "credits_extended",
        )
    ),
    Sql(
        "a grant names no rule version",
        """
CREATE OR REPLACE FUNCTION credits_refer() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off  -- by key, not by reading all guests
AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh LEFT JOIN guests USING (brand_id, membership_id, guest_id)
                WHERE guests.guest_id IS NULL) THEN
        RAISE EXCEPTION 'a credit names a guest who is not there'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'credits_of_guest', TABLE = 'credits';
    END IF;
    IF EXISTS (SELECT FROM (SELECT DISTINCT brand_id, credit_rule_id, rule_version AS version FROM fresh) named
                 LEFT JOIN rule_versions v USING (brand_id, credit_rule_id, version)
                WHERE v.version IS NULL AND named.credit_rule_id IS NOT NULL) THEN
        RAISE EXCEPTION 'a credit names a rule version that is not there'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'credits_of_version', TABLE = 'credits';
    END IF;
    RETURN NULL;
END $$;
""",
    ),
    Sql(
        "transfers",
        """
CREATE TABLE transfers (
    brand_id       uuid NOT NULL,
    transfer_id    uuid NOT NULL,
    credit_id      uuid NOT NULL,
    code           text NOT NULL,
    membership_id  uuid,
    guest_id       uuid,
    member_id      uuid,
    transferred_at timestamptz NOT NULL,
    actor          jsonb DEFAULT acting(),
    PRIMARY KEY (brand_id, transfer_id),
    CONSTRAINT transfers_code_once UNIQUE (brand_id, code),
    CONSTRAINT transfers_of_credit FOREIGN KEY (brand_id, credit_id) REFERENCES credits,
    CONSTRAINT transfers_to_guest FOREIGN KEY (brand_id, membership_id, guest_id) REFERENCES guests,
    CONSTRAINT transfers_to_member FOREIGN KEY (brand_id, member_id) REFERENCES members,
    CONSTRAINT transfers_to_somebody CHECK (num_nulls(membership_id, guest_id) <> 1 AND (guest_id IS NULL) <> (member_id IS NULL))
);
CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
""",
    ),
    Index("transfers_by_member", "transfers", "(brand_id, member_id) WHERE member_id IS NOT NULL"),
    Index("transfers_by_guest", "transfers", "(brand_id, membership_id, guest_id) WHERE guest_id IS NOT NULL"),
    kept_apart("transfers"),
    Sql(
        "webhooks are told of both",
        """
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE webhooks DROP CONSTRAINT webhooks_events_known;
        ALTER TABLE webhooks ADD CONSTRAINT webhooks_events_known CHECK (cardinality(events) > 0 AND events <@ ARRAY[
            'credit.issued', 'credit.expired', 'credit.redeemed', 'credit.revoked', 'credit.restored', 'credit.skipped',
            'credit.extended', 'credit.transferred',
            'redemption.created', 'redemption.updated', 'wallet.credited', 'member.archived']) NOT VALID;
        """,
    ),
    Validate("webhooks", "webhooks_events_known"),
    Backfill(
        "an archiving's no is told from a person's",
        table="credits",
        key=("brand_id", "credit_id"),
        statement="UPDATE credits SET revoked_by = 'archiving'"
        " WHERE {range} AND revoked_by = 'operator' AND revoked_reason = 'member_archived'",
    ),
)

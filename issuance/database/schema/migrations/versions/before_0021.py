"""Webhooks can ask to be reminded of credits that expire soon. Old processes do not know that, and tell nothing."""

from issuance.database.schema.steps import Sql, Steps, Validate

revision = "before_0021"
down_revision = "before_0020"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "leads of webhooks",
        """
        ALTER TABLE webhooks ADD COLUMN leads text[], ADD COLUMN leads_since timestamptz;
        ALTER TABLE webhooks
            ADD CONSTRAINT webhooks_leads_with_expiring
                CHECK ((leads IS NOT NULL) = ('credit.expiring' = ANY(events))
                       AND (leads IS NULL) = (leads_since IS NULL) AND cardinality(leads) > 0) NOT VALID;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE webhooks DROP CONSTRAINT webhooks_events_known;
        ALTER TABLE webhooks
            ADD CONSTRAINT webhooks_events_known
                CHECK (cardinality(events) > 0 AND events <@ ARRAY[
                    'credit.issued', 'credit.expired', 'credit.redeemed', 'credit.revoked', 'credit.restored',
                    'credit.skipped', 'credit.extended', 'credit.transferred', 'credit.updated', 'credit.expiring',
                    'redemption.created', 'redemption.updated', 'wallet.credited', 'member.archived', 'rule.held',
                    'run.finished']) NOT VALID;
        """,
    ),
    Validate("webhooks", "webhooks_leads_with_expiring"),
    Validate("webhooks", "webhooks_events_known"),
)

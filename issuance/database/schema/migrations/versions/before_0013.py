"""Guards (SEMANTICS 17): what went out when, what is held, and what a person said of it.

Old processes do not ask them: set one only once they are replaced.
"""

from issuance.database.schema.steps import Index, Sql, Steps, Validate, kept_apart

revision = "before_0013"
down_revision = "before_0012"

RELEASE = "0.3.0"

_TABLES = ("guard_portions", "guard_limits", "held_rules", "held_credits")

upgrade = Steps(
    Sql(
        "brands have a guard",
        """
        -- squawk-ignore-file prefer-bigint-over-int
        ALTER TABLE brands ADD COLUMN guard_max_per_day integer, ADD COLUMN guard_times_busiest_day numeric;
        ALTER TABLE brands ADD CONSTRAINT brands_guard_positive
            CHECK (guard_max_per_day > 0 AND guard_times_busiest_day > 0) NOT VALID;
        ALTER TABLE credit_rules ADD COLUMN guard_epoch integer NOT NULL DEFAULT 0;
        """,
    ),
    Validate("brands", "brands_guard_positive"),
    Sql(
        "guards",
        """
        CREATE TABLE guard_portions (
            brand_id       uuid NOT NULL REFERENCES brands,
            portion_id     uuid NOT NULL,
            credit_rule_id uuid NOT NULL,
            epoch          integer NOT NULL,
            issued_at      timestamptz NOT NULL,
            number         integer NOT NULL,
            reserved       boolean NOT NULL DEFAULT false,
            let_out        boolean NOT NULL DEFAULT false,
            PRIMARY KEY (brand_id, portion_id),
            CONSTRAINT guard_portions_count CHECK (number > 0)
        );
        CREATE TABLE guard_limits (
            brand_id       uuid NOT NULL REFERENCES brands,
            credit_rule_id uuid NOT NULL,
            day            date NOT NULL,
            most           integer,
            PRIMARY KEY (brand_id, credit_rule_id, day)
        );
        CREATE TABLE held_rules (
            brand_id       uuid NOT NULL REFERENCES brands,
            credit_rule_id uuid NOT NULL,
            since          timestamptz NOT NULL,
            most           integer NOT NULL,
            PRIMARY KEY (brand_id, credit_rule_id),
            CONSTRAINT held_rules_of_rule FOREIGN KEY (brand_id, credit_rule_id) REFERENCES credit_rules
        );
        CREATE TABLE held_credits (
            brand_id       uuid NOT NULL,
            membership_id  uuid NOT NULL,
            credit_rule_id uuid NOT NULL,
            period_start   date NOT NULL,
            reissue        integer NOT NULL,
            guest_id       uuid NOT NULL,
            held_at        timestamptz NOT NULL,
            manual         boolean NOT NULL,
            state          text NOT NULL DEFAULT 'waiting',
            PRIMARY KEY (brand_id, membership_id, credit_rule_id, period_start, reissue, guest_id),
            CONSTRAINT held_credits_of_guest FOREIGN KEY (brand_id, membership_id, guest_id) REFERENCES guests,
            CONSTRAINT held_credits_of_rule FOREIGN KEY (brand_id, credit_rule_id) REFERENCES credit_rules,
            CONSTRAINT held_credits_state_known CHECK (state IN ('waiting', 'approved', 'refused'))
        );
        """,
    ),
    Index("guard_portions_by_instant", "guard_portions", "(brand_id, credit_rule_id, issued_at)"),
    Index("held_credits_waiting", "held_credits", "(brand_id, credit_rule_id) WHERE state = 'waiting'"),
    *(kept_apart(table) for table in _TABLES),
    Sql(
        "webhooks hear of held rules",
        """
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE webhooks DROP CONSTRAINT webhooks_events_known;
        ALTER TABLE webhooks ADD CONSTRAINT webhooks_events_known CHECK (cardinality(events) > 0 AND events <@ ARRAY[
            'credit.issued', 'credit.expired', 'credit.redeemed', 'credit.revoked', 'credit.restored', 'credit.skipped',
            'credit.extended', 'credit.transferred',
            'redemption.created', 'redemption.updated', 'wallet.credited', 'member.archived', 'rule.held']) NOT VALID;
        """,
    ),
    Validate("webhooks", "webhooks_events_known"),
)

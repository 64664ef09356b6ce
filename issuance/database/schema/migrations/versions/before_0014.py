"""Billers plugged in: their webhooks as they came, the price maps, and runs that reconcile.

The tables are new, so that the version before does not miss them.
"""

from issuance.database.schema.steps import Index, Sql, Steps, Validate, kept_apart

revision = "before_0014"
down_revision = "before_0013"

RELEASE = "0.3.0"

BILLERS = Sql(
    "billers, and what they sent",
    """
    CREATE TABLE billers (
        brand_id      uuid NOT NULL REFERENCES brands,
        biller_id     uuid NOT NULL,
        kind          text NOT NULL,
        secrets       bytea[] NOT NULL,
        api_key       bytea,
        mapping       jsonb,
        created_at    timestamptz NOT NULL DEFAULT now(),
        reconciled_at timestamptz,
        PRIMARY KEY (brand_id, biller_id),
        CONSTRAINT billers_id_unique UNIQUE (biller_id),
        CONSTRAINT billers_kind_known CHECK (kind IN ('stripe', 'mapped')),
        CONSTRAINT billers_secrets_one_or_two CHECK (cardinality(secrets) BETWEEN 1 AND 2),
        CONSTRAINT billers_mapped_say_how CHECK ((mapping IS NOT NULL) = (kind = 'mapped'))
    );
    CREATE TABLE biller_prices (
        brand_id           uuid NOT NULL,
        biller_id          uuid NOT NULL,
        price              text NOT NULL,
        membership_type_id uuid,
        current_period     text NOT NULL DEFAULT 'keep',
        created_at         timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (brand_id, biller_id, price),
        CONSTRAINT biller_prices_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers,
        CONSTRAINT biller_prices_of_type FOREIGN KEY (brand_id, membership_type_id) REFERENCES membership_types,
        CONSTRAINT biller_prices_current_period_known CHECK (current_period IN ('keep', 'switch'))
    );
    CREATE TABLE biller_deliveries (
        brand_id      uuid NOT NULL,
        biller_id     uuid NOT NULL,
        delivery_id   text NOT NULL,
        received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
        body          bytea NOT NULL,
        state         text NOT NULL DEFAULT 'pending',
        waits_for     text,
        next_at       timestamptz,
        code          text,
        message       text,
        attempts      bigint NOT NULL DEFAULT 0,
        adapter       bigint,
        translated_at timestamptz,
        PRIMARY KEY (brand_id, biller_id, delivery_id),
        CONSTRAINT biller_deliveries_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers,
        CONSTRAINT biller_deliveries_state_known
            CHECK (state IN ('pending', 'translated', 'waiting', 'asking', 'unmappable', 'refused')),
        CONSTRAINT biller_deliveries_wait_for_something
            CHECK (state NOT IN ('waiting', 'asking') OR waits_for IS NOT NULL),
        CONSTRAINT biller_deliveries_look_again CHECK ((next_at IS NOT NULL) = (state IN ('waiting', 'asking'))),
        CONSTRAINT biller_deliveries_say_why
            CHECK ((code IS NOT NULL) = (state IN ('waiting', 'asking', 'unmappable', 'refused')))
    ) WITH (fillfactor = 70);
    CREATE TABLE biller_objects (
        brand_id  uuid NOT NULL,
        biller_id uuid NOT NULL,
        object_id text NOT NULL,
        data      jsonb NOT NULL,
        PRIMARY KEY (brand_id, biller_id, object_id),
        CONSTRAINT biller_objects_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers
    ) WITH (fillfactor = 70);
    CREATE TABLE biller_memberships (
        brand_id      uuid NOT NULL,
        membership_id uuid NOT NULL,
        biller_id     uuid NOT NULL,
        source_ref    text NOT NULL,
        PRIMARY KEY (brand_id, membership_id),
        CONSTRAINT biller_memberships_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers
    );
    CREATE TABLE reconciliations (
        brand_id  uuid NOT NULL,
        run_id    uuid NOT NULL,
        biller_id uuid NOT NULL,
        since     timestamptz,
        position  jsonb NOT NULL DEFAULT '{}',
        result    jsonb,
        error     text,
        next_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (brand_id, run_id),
        CONSTRAINT reconciliations_of_run FOREIGN KEY (brand_id, run_id) REFERENCES runs,
        CONSTRAINT reconciliations_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers
    );
    """,
)

upgrade = Steps(
    BILLERS,
    *(
        kept_apart(table)
        for table in (
            "billers",
            "biller_prices",
            "biller_deliveries",
            "biller_objects",
            "biller_memberships",
            "reconciliations",
        )
    ),
    Index(
        "biller_deliveries_untranslated",
        "biller_deliveries",
        "(brand_id, biller_id, state, received_at) WHERE state <> 'translated'",
    ),
    Index(
        "biller_deliveries_waiting", "biller_deliveries", "(brand_id, biller_id, waits_for) WHERE waits_for IS NOT NULL"
    ),
    Index("biller_deliveries_look_again", "biller_deliveries", "(next_at) WHERE next_at IS NOT NULL"),
    Index("biller_deliveries_latest", "biller_deliveries", "(brand_id, biller_id, received_at)"),
    Index("biller_memberships_by_ref", "biller_memberships", "(brand_id, source_ref)"),
    Sql(
        "runs that reconcile",
        """
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE runs DROP CONSTRAINT runs_kind_known;
        ALTER TABLE runs
            ADD CONSTRAINT runs_kind_known
                CHECK (kind IN ('sweep', 'issue', 'replay', 'undo', 'preview', 'reconcile')) NOT VALID;
        """,
    ),
    Validate("runs", "runs_kind_known"),
)

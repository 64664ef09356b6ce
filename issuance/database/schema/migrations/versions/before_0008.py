"""Previews of rules that are not saved (SEMANTICS 17). Old processes do not know them."""

from issuance.database.schema.steps import Sql, Steps, Validate, kept_apart

revision = "before_0008"
down_revision = "before_0007"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "runs preview rules",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE runs ADD COLUMN rule jsonb, ADD COLUMN as_of timestamptz, ADD COLUMN months integer;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE runs DROP CONSTRAINT runs_kind_known;
        ALTER TABLE runs
            ADD CONSTRAINT runs_kind_known CHECK (kind IN ('sweep', 'issue', 'replay', 'undo', 'preview')) NOT VALID,
            ADD CONSTRAINT runs_preview_says
                CHECK (num_nonnulls(rule, as_of, months) = CASE kind WHEN 'preview' THEN 3 ELSE 0 END) NOT VALID;
        """,
    ),
    Validate("runs", "runs_kind_known"),
    Validate("runs", "runs_preview_says"),
    Sql(
        "credits by month",
        """
        CREATE TABLE run_months (
            brand_id uuid NOT NULL,
            run_id   uuid NOT NULL,
            month    text NOT NULL,
            before   bigint NOT NULL,
            after    bigint NOT NULL,
            PRIMARY KEY (brand_id, run_id, month),
            CONSTRAINT run_months_of_run FOREIGN KEY (brand_id, run_id) REFERENCES runs
        );
        """,
    ),
    kept_apart("run_months"),
)

"""Runs that undo, and plans that are approved (SEMANTICS 17).

Old processes know neither: ask for none until they are replaced.
"""

from issuance.database.schema.steps import Backfill, Index, Sql, Steps, Validate

revision = "before_0006"
down_revision = "before_0005"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "runs undo, and do what a plan says",
        """
        ALTER TABLE runs
            ADD COLUMN plan_id uuid, ADD COLUMN undoes_run_id uuid,
            -- squawk-ignore prefer-bigint-over-int
            ADD COLUMN rule_version integer,
            ADD COLUMN issued_from timestamptz, ADD COLUMN again boolean NOT NULL DEFAULT false, ADD COLUMN reason text;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE runs DROP CONSTRAINT runs_kind_known;
        ALTER TABLE runs
            ADD CONSTRAINT runs_kind_known CHECK (kind IN ('sweep', 'issue', 'replay', 'undo')) NOT VALID,
            ADD CONSTRAINT runs_of_plan FOREIGN KEY (brand_id, plan_id) REFERENCES runs NOT VALID,
            ADD CONSTRAINT runs_undo_of_run FOREIGN KEY (brand_id, undoes_run_id) REFERENCES runs NOT VALID,
            ADD CONSTRAINT runs_undo_names_what CHECK (
                num_nonnulls(undoes_run_id, issued_from) = CASE kind WHEN 'undo' THEN 1 ELSE 0 END
                AND num_nonnulls(rule_version, issued_from) <> 1
                AND (issued_from IS NULL OR credit_rule_id IS NOT NULL)) NOT VALID;
        """,
    ),
    *(
        Validate("runs", name)
        for name in ("runs_kind_known", "runs_of_plan", "runs_undo_of_run", "runs_undo_names_what")
    ),
    Index("runs_plan_once", "runs", "(brand_id, plan_id)", unique=True),
    Sql("a plan is done once", "ALTER TABLE runs ADD CONSTRAINT runs_plan_once UNIQUE USING INDEX runs_plan_once"),
    Sql(
        "batches say how much they planned",
        """
        -- squawk-ignore prefer-bigint-over-int
        ALTER TABLE run_batches ADD COLUMN planned integer NOT NULL DEFAULT 0;
        """,
    ),
    Backfill(
        "how much they planned",
        table="run_batches",
        key=("brand_id", "run_id", "batch"),
        statement="UPDATE run_batches SET planned = jsonb_array_length(plan) WHERE {range} AND plan IS NOT NULL",
    ),
)

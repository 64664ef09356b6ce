"""Processes say that they live, and what webhooks are told names the trace that it came from.

Old processes say nothing and trace nothing."""

from issuance.database.schema.steps import Sql, Steps, Validate

revision = "before_0023"
down_revision = "before_0022"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "processes' heartbeats",
        """
CREATE UNLOGGED TABLE heartbeats (
    process_id         uuid PRIMARY KEY,
    kind               text NOT NULL,
    queues             text[] NOT NULL DEFAULT '{}',
    host               text NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    pid                integer NOT NULL,
    version            text NOT NULL,
    started_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- squawk-ignore prefer-bigint-over-int
    connections_in_use integer NOT NULL DEFAULT 0,
    broker_away        boolean NOT NULL DEFAULT false,
    counted            jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT heartbeats_kind_known CHECK (kind IN ('web', 'scheduler', 'worker')),
    CONSTRAINT heartbeats_queues_of_workers CHECK ((kind = 'worker') = (cardinality(queues) > 0))
);
""",
    ),
    Sql(
        "what webhooks are told names its trace",
        """
        ALTER TABLE webhook_events ADD COLUMN traceparent text;
        ALTER TABLE webhook_events
            ADD CONSTRAINT webhook_events_traceparent_short CHECK (length(traceparent) <= 55) NOT VALID;
        """,
    ),
    Validate("webhook_events", "webhook_events_traceparent_short"),
)

"""What a biller sends, and what webhooks are told, name the request that brought it.

Old processes write neither: what comes of theirs names none."""

from issuance.database.schema.steps import Sql, Steps, Validate

revision = "before_0026"
down_revision = "before_0025"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "deliveries know their origin",
        """
        ALTER TABLE biller_deliveries ADD COLUMN request_id text, ADD COLUMN traceparent text;
        ALTER TABLE biller_deliveries ADD CONSTRAINT biller_deliveries_origin_short
            CHECK (length(request_id) <= 128 AND length(traceparent) <= 55) NOT VALID;
        """,
    ),
    Sql(
        "what webhooks are told knows its request",
        """
        ALTER TABLE webhook_events ADD COLUMN request_id text;
        ALTER TABLE webhook_events
            ADD CONSTRAINT webhook_events_request_id_short CHECK (length(request_id) <= 128) NOT VALID;
        """,
    ),
    Validate("biller_deliveries", "biller_deliveries_origin_short"),
    Validate("webhook_events", "webhook_events_request_id_short"),
)

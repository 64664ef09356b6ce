"""Who is told, and what of."""

from sqlalchemy import ARRAY, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from issuance.database.tables.columns import Instant, key, may, metadata, must

#: Why a webhook is disabled that a person disabled; any other reason is that it was given up.
DISABLED_BY_HAND = "Disabled by hand."

webhooks = Table(
    "webhooks",
    metadata,
    key("brand_id", Uuid),
    key("webhook_id", Uuid),
    must("url", Text),
    must("events", ARRAY(Text)),
    must("signing_secret", LargeBinary),
    must("created_at", Instant),
    may("disabled_at", Instant),
    may("disabled_reason", Text),
    may("failing_since", Instant),
    may("claimed_until", Instant),
    may("former_secret", LargeBinary),
    may("former_until", Instant),
    may("leads", ARRAY(Text)),
    may("leads_since", Instant),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    key("brand_id", Uuid),
    key("event_id", Uuid),
    must("type", Text),
    must("occurred_at", Instant),
    must("data", JSONB),
    must("created_at", Instant),
    may("traceparent", Text),
    may("request_id", Text),
)

deliveries = Table(
    "deliveries",
    metadata,
    key("brand_id", Uuid),
    key("delivery_id", Uuid),
    must("webhook_id", Uuid),
    key("event_id", Uuid),
    must("state", Text),
    must("attempts", Integer),
    may("next_at", Instant),
    may("attempted_at", Instant),
    may("last_status", Integer),
    may("last_error", Text),
    may("delivered_at", Instant),
    must("created_at", Instant),
)

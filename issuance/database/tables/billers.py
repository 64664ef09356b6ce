"""Who sends a brand's billing by webhooks of their own, what they sent, and what is known of it."""

from sqlalchemy import ARRAY, BigInteger, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from issuance.database.tables.columns import Instant, key, may, metadata, must

billers = Table(
    "billers",
    metadata,
    key("brand_id", Uuid),
    key("biller_id", Uuid),
    must("kind", Text),
    must("secrets", ARRAY(LargeBinary)),
    may("api_key", LargeBinary),
    may("mapping", JSONB(none_as_null=True)),
    must("created_at", Instant),
    may("reconciled_at", Instant),
    must("heard_at", Instant),
)

biller_prices = Table(
    "biller_prices",
    metadata,
    key("brand_id", Uuid),
    key("biller_id", Uuid),
    key("price", Text),
    may("membership_type_id", Uuid),
    must("current_period", Text),
    must("created_at", Instant),
)

biller_deliveries = Table(
    "biller_deliveries",
    metadata,
    key("brand_id", Uuid),
    key("biller_id", Uuid),
    key("delivery_id", Text),
    must("received_at", Instant),
    must("body", LargeBinary),
    must("state", Text),
    may("waits_for", Text),
    may("next_at", Instant),
    may("code", Text),
    may("message", Text),
    must("attempts", BigInteger),
    may("adapter", BigInteger),
    may("translated_at", Instant),
    may("request_id", Text),
    may("traceparent", Text),
)

biller_objects = Table(
    "biller_objects",
    metadata,
    key("brand_id", Uuid),
    key("biller_id", Uuid),
    key("object_id", Text),
    must("data", JSONB),
)

biller_memberships = Table(
    "biller_memberships",
    metadata,
    key("brand_id", Uuid),
    key("membership_id", Uuid),
    must("biller_id", Uuid),
    must("source_ref", Text),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    key("brand_id", Uuid),
    key("run_id", Uuid),
    must("biller_id", Uuid),
    may("since", Instant),
    must("position", JSONB),
    may("result", JSONB(none_as_null=True)),
    may("error", Text),
    must("next_at", Instant),
)

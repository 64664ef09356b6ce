"""Brands, and who may ask for what on their behalf."""

from sqlalchemy import ARRAY, Integer, LargeBinary, Table, Text, Uuid

from issuance.database.tables.columns import Instant, key, may, metadata, must

brands = Table(
    "brands",
    metadata,
    key("brand_id", Uuid),
    must("name", Text),
    must("timezone", Text),
    must("environment", Text),
    must("points_name", Text),
    must("points_symbol", Text),
    may("clock_now", Instant),
    may("woke_at", Instant),
    must("created_at", Instant),
)

api_keys = Table(
    "api_keys",
    metadata,
    key("brand_id", Uuid),
    key("key_id", Uuid),
    must("key_hash", LargeBinary),
    must("scopes", ARRAY(Text)),
    must("created_at", Instant),
    may("last_used_at", Instant),
    may("revoked_at", Instant),
)

secrets = Table(
    "secrets",
    metadata,
    key("name", Text),
    must("value", LargeBinary),
    must("created_at", Instant),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    key("brand_id", Uuid),
    key("caller", Text),
    key("key", Text),
    must("request_hash", LargeBinary),
    may("status", Integer),
    may("body", LargeBinary),
    must("created_at", Instant),
)

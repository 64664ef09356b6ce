"""Brands, who may ask for what on their behalf, and who did."""

from sqlalchemy import ARRAY, Boolean, Integer, LargeBinary, Numeric, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

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
    may("guard_max_per_day", Integer),
    may("guard_times_busiest_day", Numeric),
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
    may("name", Text),
    may("expires_at", Instant),
    may("prefix", Text),
    may("ends_at", Instant),
    may("first_key_id", Uuid),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    key("brand_id", Uuid),
    key("entry_id", Uuid),
    must("at", Instant),
    must("brand_time", Instant),
    must("actor", JSONB),
    must("action", Text),
    must("subject_id", Text),
    may("reason", Text),
    may("before", JSONB),
    may("after", JSONB),
    may("request_id", Text),
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
    may("location", Text),
)

people = Table(
    "people",
    metadata,
    key("person_id", Uuid),
    must("email", Text),
    may("password_hash", Text),
    must("created_at", Instant),
    may("signed_in_at", Instant),
    may("oidc_issuer", Text),
    may("oidc_subject", Text),
)

roles = Table(
    "roles",
    metadata,
    key("brand_id", Uuid),
    key("person_id", Uuid),
    must("role", Text),
    must("created_at", Instant),
)

sessions = Table(
    "sessions",
    metadata,
    key("session_hash", LargeBinary),
    must("person_id", Uuid),
    must("created_at", Instant),
    must("seen_at", Instant),
    may("browser", Text),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    key("link_hash", LargeBinary),
    must("person_id", Uuid),
    must("expires_at", Instant),
    must("invited", Boolean),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    key("email_hash", LargeBinary),
    must("failures", Integer),
    must("failed_at", Instant),
)

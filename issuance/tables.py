"""The tables of schema.sql as SQLAlchemy Core sees them: columns, types, nullability and keys.

schema.sql is the only DDL: constraints, indexes, defaults and their reasons are there. `issuance schema
diff` and a test compare the two.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

metadata = MetaData()

Instant = DateTime(timezone=True)


def _key(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, primary_key=True)


def _must(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _may(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=True)


brands = Table(
    "brands",
    metadata,
    _key("brand_id", Uuid),
    _must("name", Text),
    _must("timezone", Text),
    _must("environment", Text),
    _must("points_name", Text),
    _must("points_symbol", Text),
    _may("clock_now", Instant),
    _may("woke_at", Instant),
    _must("created_at", Instant),
)

api_keys = Table(
    "api_keys",
    metadata,
    _key("brand_id", Uuid),
    _key("key_id", Uuid),
    _must("key_hash", LargeBinary),
    _must("scopes", ARRAY(Text)),
    _must("created_at", Instant),
    _may("last_used_at", Instant),
    _may("revoked_at", Instant),
)

secrets = Table(
    "secrets",
    metadata,
    _key("name", Text),
    _must("value", LargeBinary),
    _must("created_at", Instant),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _key("brand_id", Uuid),
    _key("caller", Text),
    _key("key", Text),
    _must("request_hash", LargeBinary),
    _may("status", Integer),
    _may("body", LargeBinary),
    _must("created_at", Instant),
)

members = Table(
    "members",
    metadata,
    _key("brand_id", Uuid),
    _key("external_user_id", Text),
    _may("display_name", Text),
    _may("email", Text),
    _must("tier", Text),
    _may("attributes", JSON(none_as_null=True)),
    _must("created_at", Instant),
    _must("updated_at", Instant),
    _may("archived_at", Instant),
)

membership_types = Table(
    "membership_types",
    metadata,
    _key("brand_id", Uuid),
    _key("membership_type_id", Uuid),
    _must("name", Text),
    _must("billing", Text),
    _must("created_at", Instant),
)

coupons = Table(
    "coupons",
    metadata,
    _key("brand_id", Uuid),
    _key("coupon_id", Text),
    _must("name", Text),
    _must("description", Text),
    _must("discount_type", Text),
    _must("discount_value", Numeric),
    _may("discount_currency", Text),
    _may("validity", Text),
    _must("offerings", JSONB),
    _must("created_at", Instant),
    _must("updated_at", Instant),
)

credit_rules = Table(
    "credit_rules",
    metadata,
    _key("brand_id", Uuid),
    _key("credit_rule_id", Uuid),
    _must("created_at", Instant),
    _may("deleted_at", Instant),
)

rule_versions = Table(
    "rule_versions",
    metadata,
    _key("brand_id", Uuid),
    _key("credit_rule_id", Uuid),
    _key("version", Integer),
    _must("created_at", Instant),
    _must("membership_type_id", Uuid),
    _must("coupon_id", Text),
    _must("coupon_name", Text),
    _may("coupon_description", Text),
    _must("roll_over", Boolean),
    _must("issue_on_signup", Boolean),
    _must("multi_use", Boolean),
    _must("for_lead_booker_only", Boolean),
    _must("issuing_frequency", Text),
    _must("include_upcoming", Boolean),
    _must("deleted", Boolean),
)

billing_events = Table(
    "billing_events",
    metadata,
    _key("brand_id", Uuid),
    _key("source", Text),
    _key("event_id", Text),
    _must("type", Text),
    _must("time", Instant),
    _must("membership_id", Uuid),
    _may("charge_id", Text),
    _must("data", JSONB),
    _must("body_hash", LargeBinary),
    _must("received_at", Instant),
    _may("settled_at", Instant),
)

rejected_events = Table(
    "rejected_events",
    metadata,
    _key("brand_id", Uuid),
    _key("rejected_id", Uuid),
    _must("received_at", Instant),
    _must("code", Text),
    _must("message", Text),
    _must("body", Text),
)

memberships = Table(
    "memberships",
    metadata,
    _key("brand_id", Uuid),
    _key("membership_id", Uuid),
    _must("membership_type_id", Uuid),
    _must("external_user_id", Text),
    _must("signed_up_at", Instant),
    _must("starts_on", Date),
    _must("billing_anchor", Date),
    _must("billing_frequency", Text),
    _must("status", Text),
    _may("ends_on", Date),
)

guests = Table(
    "guests",
    metadata,
    _key("brand_id", Uuid),
    _key("membership_id", Uuid),
    _key("guest_id", Uuid),
    _must("place", SmallInteger),
    _must("name", Text),
    _may("email", Text),
    _may("external_user_id", Text),
    _must("lead_booker", Boolean),
    _may("removed_at", Instant),
)

charges = Table(
    "charges",
    metadata,
    _key("brand_id", Uuid),
    _key("charge_id", Text),
    _must("membership_id", Uuid),
    _must("state", Text),
    _must("period_start", Date),
    _may("period_end", Date),
    _may("amount", Numeric),
    _may("amount_refunded", Numeric),
)

dues = Table(
    "dues",
    metadata,
    _key("brand_id", Uuid),
    _key("membership_id", Uuid),
    _may("due_at", Instant),
    _may("settled_at", Instant),
    _may("shape", Uuid),
    _must("attempts", Integer),
    _may("retry_at", Instant),
    _may("quarantined_at", Instant),
    _may("last_error", Text),
)

runs = Table(
    "runs",
    metadata,
    _key("brand_id", Uuid),
    _key("run_id", Uuid),
    _must("kind", Text),
    _must("state", Text),
    _may("credit_rule_id", Uuid),
    _may("membership_type_id", Uuid),
    _may("membership_id", Uuid),
    _must("include_upcoming", Boolean),
    _may("from_date", Date),
    _may("to_date", Date),
    _must("dry_run", Boolean),
    _must("total", Integer),
    _must("created_at", Instant),
    _may("started_at", Instant),
    _may("finished_at", Instant),
)

run_batches = Table(
    "run_batches",
    metadata,
    _key("brand_id", Uuid),
    _key("run_id", Uuid),
    _key("batch", Integer),
    _must("first_id", Uuid),
    _must("last_id", Uuid),
    _must("size", Integer),
    _must("attempts", Integer),
    _may("claimed_at", Instant),
    _may("finished_at", Instant),
    _must("counts", JSONB),
    _may("plan", JSONB),
)

credits = Table(  # noqa: A001 - the word is the domain's; the builtin is a REPL's greeting
    "credits",
    metadata,
    _key("brand_id", Uuid),
    _key("credit_id", Uuid),
    _must("code", Text),
    _must("credit_rule_id", Uuid),
    _must("rule_version", Integer),
    _must("membership_id", Uuid),
    _must("guest_id", Uuid),
    _must("period_start", Date),
    _may("period_end", Date),
    _must("reissue", Integer),
    _must("coupon_id", Text),
    _must("coupon_name", Text),
    _must("roll_over", Boolean),
    _must("multi_use", Boolean),
    _must("valid_from", Instant),
    _may("expires_at", Instant),
    _may("validity_ends_at", Instant),
    _must("issued_at", Instant),
    _may("run_id", Uuid),
    _must("manual", Boolean),
    _must("uses", Integer),
    _may("redeemed_at", Instant),
    _may("revoked_at", Instant),
    _may("revoked_by", Text),
    _may("revoked_reason", Text),
    _may("expired_at", Instant),
    _may("flagged_at", Instant),
)

redemptions = Table(
    "redemptions",
    metadata,
    _key("brand_id", Uuid),
    _key("redemption_id", Uuid),
    _may("credit_id", Uuid),
    _may("points", BigInteger),
    _may("external_user_id", Text),
    _must("offer", Text),
    _may("start_at", Instant),
    _may("end_at", Instant),
    _may("reference", Text),
    _must("status", Text),
    _must("created_at", Instant),
    _must("updated_at", Instant),
)

wallets = Table(
    "wallets",
    metadata,
    _key("brand_id", Uuid),
    _key("external_user_id", Text),
    _must("received", BigInteger),
    _must("spent", BigInteger),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    _key("brand_id", Uuid),
    _key("entry_id", Uuid),
    _must("external_user_id", Text),
    _must("type", Text),
    _must("amount", BigInteger),
    _may("reason", Text),
    _may("redemption_id", Uuid),
    _must("created_at", Instant),
)

webhooks = Table(
    "webhooks",
    metadata,
    _key("brand_id", Uuid),
    _key("webhook_id", Uuid),
    _must("url", Text),
    _must("events", ARRAY(Text)),
    _must("signing_secret", LargeBinary),
    _must("created_at", Instant),
    _may("disabled_at", Instant),
    _may("disabled_reason", Text),
    _may("failing_since", Instant),
    _may("claimed_until", Instant),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    _key("brand_id", Uuid),
    _key("event_id", Uuid),
    _must("type", Text),
    _must("occurred_at", Instant),
    _must("data", JSONB),
    _must("created_at", Instant),
)

deliveries = Table(
    "deliveries",
    metadata,
    _key("brand_id", Uuid),
    _key("delivery_id", Uuid),
    _must("webhook_id", Uuid),
    _must("event_id", Uuid),
    _must("state", Text),
    _must("attempts", Integer),
    _may("next_at", Instant),
    _may("attempted_at", Instant),
    _may("last_status", Integer),
    _may("last_error", Text),
    _may("delivered_at", Instant),
    _must("created_at", Instant),
)

verdicts = Table(
    "verdicts",
    metadata,
    _key("brand_id", Uuid),
    _key("law", Integer),
    _must("offenders", Integer),
    _must("checked_at", Instant),
)

quarantined_messages = Table(
    "quarantined_messages",
    metadata,
    _key("message_id", Uuid),
    _must("queue", Text),
    _must("body", LargeBinary),
    _must("error", Text),
    _must("received_at", Instant),
)

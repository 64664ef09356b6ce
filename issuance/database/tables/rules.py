"""What is promised: membership types, coupons, offers, credit rules."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Date, Integer, Numeric, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from issuance.database.tables.columns import Instant, key, may, metadata, must

membership_types = Table(
    "membership_types",
    metadata,
    key("brand_id", Uuid),
    key("membership_type_id", Uuid),
    must("name", Text),
    must("billing", Text),
    must("created_at", Instant),
)

coupons = Table(
    "coupons",
    metadata,
    key("brand_id", Uuid),
    key("coupon_id", Text),
    must("name", Text),
    must("description", Text),
    must("discount_type", Text),
    must("discount_value", Numeric),
    may("discount_currency", Text),
    may("validity", Text),
    must("offerings", JSONB),
    must("created_at", Instant),
    must("updated_at", Instant),
)

coupon_values = Table(
    "coupon_values",
    metadata,
    key("brand_id", Uuid),
    key("coupon_id", Text),
    key("first_credit_id", Uuid),
    may("value", Numeric),
    may("currency", Text),
)

coupon_validities = Table(
    "coupon_validities",
    metadata,
    key("brand_id", Uuid),
    key("coupon_id", Text),
    key("until", Instant),
    may("validity", Text),
)

offers = Table(
    "offers",
    metadata,
    key("brand_id", Uuid),
    key("offer_id", Text),
    must("name", Text),
    may("points_price", BigInteger),
    may("tiers", ARRAY(Text)),
    may("coupon_id", Text),
    must("created_at", Instant),
    must("updated_at", Instant),
)

credit_rules = Table(
    "credit_rules",
    metadata,
    key("brand_id", Uuid),
    key("credit_rule_id", Uuid),
    must("created_at", Instant),
    may("effective_from", Date),
    may("deleted_at", Instant),
    must("guard_epoch", Integer),
)

rule_versions = Table(
    "rule_versions",
    metadata,
    key("brand_id", Uuid),
    key("credit_rule_id", Uuid),
    key("version", Integer),
    must("created_at", Instant),
    must("membership_type_id", Uuid),
    must("coupon_id", Text),
    must("coupon_name", Text),
    may("coupon_description", Text),
    must("roll_over", Boolean),
    must("issue_on_signup", Boolean),
    must("multi_use", Boolean),
    must("for_lead_booker_only", Boolean),
    must("issuing_frequency", Text),
    must("include_upcoming", Boolean),
    must("deleted", Boolean),
    may("roll_over_limit", Integer),
    may("max_uses", Integer),
    may("actor", JSONB),
)

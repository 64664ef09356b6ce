"""What members have: credits, points, and what they spent."""

from sqlalchemy import BigInteger, Boolean, Date, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from issuance.database.tables.columns import Instant, key, may, metadata, must

credits = Table(
    "credits",
    metadata,
    key("brand_id", Uuid),
    key("credit_id", Uuid),
    must("code", Text),
    may("credit_rule_id", Uuid),
    may("rule_version", Integer),
    must("membership_id", Uuid),
    must("guest_id", Uuid),
    may("period_start", Date),
    may("period_end", Date),
    must("reissue", Integer),
    must("coupon_id", Text),
    must("coupon_name", Text),
    must("roll_over", Boolean),
    must("multi_use", Boolean),
    must("valid_from", Instant),
    may("expires_at", Instant),
    may("validity_ends_at", Instant),
    must("issued_at", Instant),
    may("run_id", Uuid),
    must("manual", Boolean),
    must("uses", Integer),
    may("redeemed_at", Instant),
    may("revoked_at", Instant),
    may("revoked_by", Text),
    may("revoked_reason", Text),
    may("expired_at", Instant),
    may("flagged_at", Instant),
    may("max_uses", Integer),
    may("revoked_actor", JSONB),
    may("extended_at", Instant),
    may("extended_to", Instant),
    may("transfer_id", Uuid),
    may("revision", Integer),
)

transfers = Table(
    "transfers",
    metadata,
    key("brand_id", Uuid),
    key("transfer_id", Uuid),
    must("credit_id", Uuid),
    must("code", Text),
    may("membership_id", Uuid),
    may("guest_id", Uuid),
    may("member_id", Uuid),
    must("transferred_at", Instant),
    may("actor", JSONB),
)

credit_movements = Table(
    "credit_movements",
    metadata,
    key("brand_id", Uuid),
    key("movement_id", Uuid),
    must("credit_id", Uuid),
    must("kind", Text),
    must("at", Instant),
    must("number", Integer),
)

redemptions = Table(
    "redemptions",
    metadata,
    key("brand_id", Uuid),
    key("redemption_id", Uuid),
    may("credit_id", Uuid),
    may("points", BigInteger),
    may("member_id", Uuid),
    must("offer", Text),
    may("start_at", Instant),
    may("end_at", Instant),
    may("reference", Text),
    must("status", Text),
    must("created_at", Instant),
    must("updated_at", Instant),
    may("offer_id", Text),
    must("revision", Integer),
)

wallets = Table(
    "wallets",
    metadata,
    key("brand_id", Uuid),
    key("member_id", Uuid),
    must("received", BigInteger),
    must("spent", BigInteger),
    must("revision", BigInteger),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    key("brand_id", Uuid),
    key("entry_id", Uuid),
    must("member_id", Uuid),
    must("type", Text),
    must("amount", BigInteger),
    may("reason", Text),
    may("redemption_id", Uuid),
    must("created_at", Instant),
    may("actor", JSONB),
)

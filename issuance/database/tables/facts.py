"""What is known: events, members, memberships and what follows from events about them."""

from sqlalchemy import BigInteger, Boolean, Date, Integer, LargeBinary, Numeric, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from issuance.database.tables.columns import Instant, key, may, metadata, must

members = Table(
    "members",
    metadata,
    key("brand_id", Uuid),
    key("member_id", Uuid),
    must("external_user_id", Text),
    may("display_name", Text),
    may("email", Text),
    must("tier", Text),
    may("attributes", JSON(none_as_null=True)),
    may("joined_at", Instant),
    must("updated_at", Instant),
    may("archived_at", Instant),
    may("returned_at", Instant),
    must("archivings", Integer),
    may("balance_retained", Boolean),
    may("erased_at", Instant),
    must("revision", Integer),
)

erased_names = Table(
    "erased_names",
    metadata,
    key("brand_id", Uuid),
    key("name_hash", LargeBinary),
    must("member_id", Uuid),
)

billing_events = Table(
    "billing_events",
    metadata,
    key("brand_id", Uuid),
    key("source", Text),
    key("event_id", Text),
    must("type", Text),
    must("time", Instant),
    must("membership_id", Uuid),
    may("charge_id", Text),
    must("data", JSONB),
    may("unknown_fields", JSONB),
    must("received_at", Instant),
    may("settled_at", Instant),
    may("said_hash", LargeBinary),
)

search_words = Table(
    "search_words",
    metadata,
    key("brand_id", Uuid),
    key("word", Text),
    key("subject_id", Uuid),
    must("of_member", Boolean),
)

search_backlog = Table(
    "search_backlog",
    metadata,
    key("brand_id", Uuid),
    key("entry_id", BigInteger),
    must("subject_ids", ARRAY(Uuid)),
    must("of_members", Boolean),
    may("after_id", Uuid),
)

rejected_events = Table(
    "rejected_events",
    metadata,
    key("brand_id", Uuid),
    key("rejected_id", Uuid),
    must("received_at", Instant),
    must("code", Text),
    must("message", Text),
    must("body", Text),
    must("body_hash", LargeBinary),
)

memberships = Table(
    "memberships",
    metadata,
    key("brand_id", Uuid),
    key("membership_id", Uuid),
    must("membership_type_id", Uuid),
    must("member_id", Uuid),
    must("signed_up_at", Instant),
    must("starts_on", Date),
    must("billing_anchor", Date),
    must("billing_frequency", Text),
    must("status", Text),
    may("ends_on", Date),
)

guests = Table(
    "guests",
    metadata,
    key("brand_id", Uuid),
    key("membership_id", Uuid),
    key("guest_id", Uuid),
    must("place", Integer),
    must("name", Text),
    may("email", Text),
    may("member_id", Uuid),
    must("lead_booker", Boolean),
    may("removed_at", Instant),
)

charges = Table(
    "charges",
    metadata,
    key("brand_id", Uuid),
    key("membership_id", Uuid),
    key("charge_id", Text),
    must("state", Text),
    must("period_start", Date),
    may("period_end", Date),
    may("amount", Numeric),
    may("amount_refunded", Numeric),
    must("pays_for_nothing", Boolean),
)

schedules = Table(
    "schedules",
    metadata,
    key("brand_id", Uuid),
    key("schedule_id", Uuid),
    must("shared", Boolean),
    must("size", Integer),
    may("due_at", Instant),
    may("settled_at", Instant),
    may("fingerprint", Uuid),
    must("attempts", Integer),
    may("retry_at", Instant),
    may("quarantined_at", Instant),
    may("last_error", Text),
)

membership_schedules = Table(
    "membership_schedules",
    metadata,
    key("brand_id", Uuid),
    key("membership_id", Uuid),
    must("schedule_id", Uuid),
)

"""Bulk work, what checks found, and messages that nobody could read."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Date, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from issuance.database.tables.columns import Instant, key, may, metadata, must

runs = Table(
    "runs",
    metadata,
    key("brand_id", Uuid),
    key("run_id", Uuid),
    must("kind", Text),
    must("state", Text),
    may("credit_rule_id", Uuid),
    may("membership_type_id", Uuid),
    may("membership_id", Uuid),
    must("include_upcoming", Boolean),
    may("from_date", Date),
    may("to_date", Date),
    must("dry_run", Boolean),
    may("plan_id", Uuid),
    may("undoes_run_id", Uuid),
    may("rule_version", Integer),
    may("issued_from", Instant),
    must("again", Boolean),
    may("rule", JSONB),
    may("as_of", Instant),
    may("months", Integer),
    may("reason", Text),
    must("total", Integer),
    must("created_at", Instant),
    may("started_at", Instant),
    may("finished_at", Instant),
    may("actor", JSONB),
    may("only_memberships", ARRAY(Uuid)),
    may("only_members", ARRAY(Uuid)),
)

run_batches = Table(
    "run_batches",
    metadata,
    key("brand_id", Uuid),
    key("run_id", Uuid),
    key("batch", Integer),
    must("first_id", Uuid),
    must("last_id", Uuid),
    must("size", Integer),
    must("attempts", Integer),
    may("claimed_at", Instant),
    may("finished_at", Instant),
    must("counts", JSONB),
    may("plan", JSONB),
    must("planned", Integer),
    must("attempts_before", Integer),
)

run_months = Table(
    "run_months",
    metadata,
    key("brand_id", Uuid),
    key("run_id", Uuid),
    key("month", Text),
    must("before", BigInteger),
    must("after", BigInteger),
)

guard_portions = Table(
    "guard_portions",
    metadata,
    key("brand_id", Uuid),
    key("portion_id", Uuid),
    must("credit_rule_id", Uuid),
    must("epoch", Integer),
    must("issued_at", Instant),
    must("number", Integer),
    must("reserved", Boolean),
    must("let_out", Boolean),
)

guard_limits = Table(
    "guard_limits",
    metadata,
    key("brand_id", Uuid),
    key("credit_rule_id", Uuid),
    key("day", Date),
    may("most", Integer),
)

held_rules = Table(
    "held_rules",
    metadata,
    key("brand_id", Uuid),
    key("credit_rule_id", Uuid),
    must("since", Instant),
    must("most", Integer),
)

held_credits = Table(
    "held_credits",
    metadata,
    key("brand_id", Uuid),
    key("membership_id", Uuid),
    key("credit_rule_id", Uuid),
    key("period_start", Date),
    key("reissue", Integer),
    key("guest_id", Uuid),
    must("held_at", Instant),
    must("manual", Boolean),
    must("state", Text),
    may("run_id", Uuid),
)

verdicts = Table(
    "verdicts",
    metadata,
    key("brand_id", Uuid),
    key("law", Integer),
    must("offenders", Integer),
    must("checked_at", Instant),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    key("process_id", Uuid),
    must("kind", Text),
    must("queues", ARRAY(Text)),
    must("host", Text),
    must("pid", Integer),
    must("version", Text),
    must("started_at", Instant),
    must("beat_at", Instant),
    must("connections_in_use", Integer),
    must("broker_away", Boolean),
    must("counted", JSONB),
)

quarantined_messages = Table(
    "quarantined_messages",
    metadata,
    key("message_id", Uuid),
    must("queue", Text),
    must("body", LargeBinary),
    must("error", Text),
    must("received_at", Instant),
)

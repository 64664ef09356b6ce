"""The tables of schema.sql as SQLAlchemy Core sees them: columns, types, nullability and keys.

schema.sql is the only DDL: constraints, indexes, defaults and their reasons are there. `issuance schema
diff` and a test compare the two.
"""

from issuance.database.tables.billers import (
    biller_deliveries,
    biller_memberships,
    biller_objects,
    biller_prices,
    billers,
    reconciliations,
)
from issuance.database.tables.columns import metadata
from issuance.database.tables.facts import (
    billing_events,
    charges,
    erased_names,
    guests,
    members,
    membership_schedules,
    memberships,
    rejected_events,
    schedules,
    search_backlog,
    search_words,
)
from issuance.database.tables.rules import (
    coupon_validities,
    coupon_values,
    coupons,
    credit_rules,
    membership_types,
    offers,
    rule_versions,
)
from issuance.database.tables.spending import (
    credit_movements,
    credits,
    ledger_entries,
    redemptions,
    transfers,
    wallets,
)
from issuance.database.tables.tenants import (
    api_keys,
    audit_entries,
    brands,
    idempotency_keys,
    people,
    roles,
    secrets,
    sessions,
    sign_in_failures,
    sign_in_links,
)
from issuance.database.tables.webhooks import deliveries, webhook_events, webhooks
from issuance.database.tables.work import heartbeats, quarantined_messages, run_batches, runs, verdicts

__all__ = [
    "api_keys",
    "audit_entries",
    "biller_deliveries",
    "biller_memberships",
    "biller_objects",
    "biller_prices",
    "billers",
    "billing_events",
    "brands",
    "charges",
    "coupon_validities",
    "coupon_values",
    "coupons",
    "credit_movements",
    "credit_rules",
    "credits",
    "deliveries",
    "erased_names",
    "guests",
    "heartbeats",
    "idempotency_keys",
    "ledger_entries",
    "members",
    "membership_schedules",
    "membership_types",
    "memberships",
    "metadata",
    "offers",
    "people",
    "quarantined_messages",
    "reconciliations",
    "redemptions",
    "rejected_events",
    "roles",
    "rule_versions",
    "run_batches",
    "runs",
    "schedules",
    "search_backlog",
    "search_words",
    "secrets",
    "sessions",
    "sign_in_failures",
    "sign_in_links",
    "transfers",
    "verdicts",
    "wallets",
    "webhook_events",
    "webhooks",
]

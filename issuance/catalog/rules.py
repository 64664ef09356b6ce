"""Credit rules: created, changed and deleted as versions that are never rewritten (SEMANTICS 4)."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, insert, select, update
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.catalog import rule_versions as versions
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.database import paging
from issuance.database.tables import coupons as coupons_table
from issuance.database.tables import credit_rules, rule_versions
from issuance.database.tables import membership_types as types_table
from issuance.engine import held_rules, schedules
from issuance.errors import NotFound
from issuance.tenancy import clock
from issuance.tenancy.clock import BrandClock


def create(connection: Connection, brand_id: UUID, new: NewCreditRule) -> dict[str, Any]:
    """A new rule, version 1. Raises Invalid for an unknown membership type or coupon, and for an `effective_from` after
    the brand's today."""
    clock.lock_alone(connection, brand_id)  # whatever is settled later than `now` knows the rule
    says = versions.as_created(connection, brand_id, new)
    present = clock.read(connection, brand_id)
    now = present.now
    credit_rule_id = uuid7()
    made = {"brand_id": brand_id, "credit_rule_id": credit_rule_id, "created_at": now}
    connection.execute(insert(credit_rules).values(**made, effective_from=new.effective_from))
    versions.add(connection, brand_id, credit_rule_id, 1, now, says)
    if new.effective_from is None:
        _wake(connection, brand_id, present, {new.membership_type_id})
    else:
        schedules.wake_type(connection, brand_id, new.membership_type_id, now)
    audit.write(connection, brand_id, "credit_rule.created", credit_rule_id, after=says)
    return get(connection, brand_id, credit_rule_id)


def change(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, change: CreditRuleChange, *, seen: int | None = None
) -> dict[str, Any]:
    """The next version, even where nothing differs: `include_upcoming` alone can matter. `seen`: of which version it is
    a change, for who names everything and not only what changes. Raises NotFound, Invalid, Conflict (`latest_of`)."""
    clock.lock_alone(connection, brand_id)
    latest = versions.latest_of(connection, brand_id, credit_rule_id, lock=True, seen=seen)
    says = versions.as_changed(connection, brand_id, latest, change)
    present = clock.read(connection, brand_id)  # not before: versions are numbered in the order of their instants
    versions.add(connection, brand_id, credit_rule_id, latest["version"] + 1, present.now, says)
    _wake(connection, brand_id, present, {latest["membership_type_id"], says["membership_type_id"]})
    says["version"] = latest["version"] + 1
    before, after = audit.changed(latest, says)
    audit.write(connection, brand_id, "credit_rule.updated", credit_rule_id, before=before, after=after)
    return get(connection, brand_id, credit_rule_id)


def delete(connection: Connection, brand_id: UUID, credit_rule_id: UUID) -> None:
    """The last version, in force for everything at once, what a guard holds too. Credits that are out live on. Raises
    NotFound."""
    clock.lock_alone(connection, brand_id)
    latest = versions.latest_of(connection, brand_id, credit_rule_id, lock=True)
    now = clock.read(connection, brand_id).now
    says = {**latest, "include_upcoming": True, "deleted": True}
    versions.add(connection, brand_id, credit_rule_id, latest["version"] + 1, now, says)
    columns = credit_rules.c
    this = (columns.brand_id == brand_id, columns.credit_rule_id == credit_rule_id)
    connection.execute(update(credit_rules).where(*this).values(deleted_at=now))
    held_rules.let_lapse(connection, brand_id, credit_rule_id)
    audit.write(connection, brand_id, "credit_rule.deleted", credit_rule_id, before={"version": latest["version"]})


def get(connection: Connection, brand_id: UUID, credit_rule_id: UUID) -> dict[str, Any]:
    """One rule as its latest version has it. Raises NotFound, also when it is deleted."""
    one = _all(brand_id).where(credit_rules.c.credit_rule_id == credit_rule_id)
    row = connection.execute(one).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such credit rule.")
    return _shaped(dict(row))


def page(
    connection: Connection,
    brand_id: UUID,
    page: int,
    per_page: int,
    *,
    membership_type_id: UUID | None = None,
    issue_on_signup: bool | None = None,
) -> paging.Rows:
    """A page of the brand's rules, the oldest first."""
    found = _all(brand_id).order_by(credit_rules.c.created_at, credit_rules.c.credit_rule_id)
    if membership_type_id is not None:
        found = found.where(rule_versions.c.membership_type_id == membership_type_id)
    if issue_on_signup is not None:
        found = found.where(rule_versions.c.issue_on_signup == issue_on_signup)
    rows, total = paging.rows_of(connection, found, page, per_page)
    return [_shaped(row) for row in rows], total


def _wake(connection: Connection, brand_id: UUID, present: BrandClock, type_ids: set[UUID]) -> None:
    # Otherwise time has passed since anything was settled, and no version is in force for what was.
    if present.stands_still:
        schedules.wake_settled_at(connection, brand_id, list(type_ids), present.now)


def _all(brand_id: UUID) -> Select[Any]:
    later = rule_versions.alias("later")
    latest = (
        select(func.max(later.c.version))
        .where(later.c.brand_id == brand_id, later.c.credit_rule_id == credit_rules.c.credit_rule_id)
        .scalar_subquery()
    )
    return (
        select(
            credit_rules.c.credit_rule_id.label("id"),
            credit_rules.c.created_at,
            credit_rules.c.effective_from,
            rule_versions.c.created_at.label("updated_at"),
            rule_versions.c.actor.label("updated_by"),
            rule_versions.c.version,
            *(
                rule_versions.c[name]
                for name in versions.SAYS
                if name not in ("coupon_description", "include_upcoming")
            ),
            func.coalesce(rule_versions.c.coupon_description, coupons_table.c.description).label("coupon_description"),
            types_table.c.name.label("membership_type_name"),
        )
        .join(
            rule_versions,
            (rule_versions.c.brand_id == credit_rules.c.brand_id)
            & (rule_versions.c.credit_rule_id == credit_rules.c.credit_rule_id),
        )
        .join(
            types_table,
            (types_table.c.brand_id == rule_versions.c.brand_id)
            & (types_table.c.membership_type_id == rule_versions.c.membership_type_id),
        )
        .join(
            coupons_table,
            (coupons_table.c.brand_id == rule_versions.c.brand_id)
            & (coupons_table.c.coupon_id == rule_versions.c.coupon_id),
        )
        .where(
            credit_rules.c.brand_id == brand_id,
            credit_rules.c.deleted_at.is_(None),
            rule_versions.c.version == latest,
        )
    )


def _shaped(row: dict[str, Any]) -> dict[str, Any]:
    row["membership_type"] = {"id": row["membership_type_id"], "name": row.pop("membership_type_name")}
    return row

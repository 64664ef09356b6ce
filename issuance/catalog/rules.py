"""Credit rules: created, changed and deleted as versions that are never rewritten (SEMANTICS 4)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool
from pydantic.config import JsonDict
from sqlalchemy import Connection, Select, func, insert, select, update
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.catalog import coupons, membership_types
from issuance.database import paging
from issuance.database.tables import coupons as coupons_table
from issuance.database.tables import credit_rules, rule_versions
from issuance.database.tables import membership_types as types_table
from issuance.deciding.calendar import day_of
from issuance.deciding.frequency import IssuingFrequency
from issuance.engine import schedules
from issuance.errors import Conflict, Invalid, NotFound
from issuance.fields import Body, CalendarDate, CouponName, Description, Identifier, MaxUses, RollOverLimit
from issuance.tenancy import clock
from issuance.tenancy.clock import BrandClock

#: What the limits of a new rule go with, and how the API document says it.
_TRUE: JsonDict = {"const": True}
_GO_WITH: tuple[tuple[str, str, JsonDict], ...] = (
    ("max_uses", "multi_use", {"multi_use": _TRUE}),
    ("roll_over_limit", "roll_over", {"roll_over": _TRUE, "issuing_frequency": {"not": {"const": "P0D"}}}),
)
_LIMITS: JsonDict = {
    "dependentSchemas": {
        limit: {"anyOf": [{"properties": {limit: {"type": "null"}}}, {"required": [flag], "properties": others}]}
        for limit, flag, others in _GO_WITH
    }
}


#: A type has so many rules, deleted ones too, and a rule so many versions: each settling looks at all of them.
MOST_RULES, MOST_VERSIONS = 200, 1000


class RuleLimit(Conflict):
    """There is no room for more: a membership type has at most 200 rules, and a rule at most 1000 versions."""

    code = "too_many_rules"


class NewCreditRule(Body):
    """`include_upcoming`: in force from the next cycle on for members who joined before the rule existed."""

    model_config = ConfigDict(json_schema_extra=_LIMITS)

    membership_type_id: UUID
    coupon_id: Identifier
    coupon_name: CouponName
    coupon_description: Description | None = Field(None, description="null: the coupon's own")
    roll_over: StrictBool = False
    roll_over_limit: RollOverLimit | None = Field(
        None, description="Only with roll_over, not for P0D: into how many further periods a credit rolls over at most"
    )
    issue_on_signup: StrictBool = False
    multi_use: StrictBool = False
    max_uses: MaxUses | None = Field(
        None, description="Only with multi_use: the use at which a credit is redeemed; null: it is never"
    )
    for_lead_booker_only: StrictBool = False
    issuing_frequency: IssuingFrequency = IssuingFrequency.BILLING_CYCLE
    include_upcoming: StrictBool = False
    effective_from: CalendarDate | None = Field(
        None, description="A date not after today, where the promise is older than this rule: it counts as made then"
    )


def _unnamed() -> Any:
    # Not named, the rule keeps what it has; and the API document shows no default.
    return Field(default_factory=lambda: None)


class CreditRuleChange(Body):
    """What is not named stays; but without `roll_over` there is no limit to it, and without `multi_use` no `max_uses`.
    `include_upcoming`: moves the cycle that is already scheduled to the new version."""

    membership_type_id: UUID = _unnamed()
    coupon_id: Identifier = _unnamed()
    coupon_name: CouponName = _unnamed()
    coupon_description: Description | None = _unnamed()
    roll_over: StrictBool = _unnamed()
    roll_over_limit: RollOverLimit | None = _unnamed()
    issue_on_signup: StrictBool = _unnamed()
    multi_use: StrictBool = _unnamed()
    max_uses: MaxUses | None = _unnamed()
    for_lead_booker_only: StrictBool = _unnamed()
    issuing_frequency: IssuingFrequency = _unnamed()
    include_upcoming: StrictBool = False


def create(connection: Connection, brand_id: UUID, new: NewCreditRule) -> dict[str, Any]:
    """A new rule, version 1. Raises Invalid for an unknown membership type or coupon, and for an `effective_from` after
    the brand's today."""
    clock.work_alone(connection, brand_id)
    says = as_created(connection, brand_id, new)
    present = clock.read(connection, brand_id, hold=True)
    now = present.now
    credit_rule_id = uuid7()
    made = {"brand_id": brand_id, "credit_rule_id": credit_rule_id, "created_at": now}
    connection.execute(insert(credit_rules).values(**made, effective_from=new.effective_from))
    _add_version(connection, brand_id, credit_rule_id, 1, now, says)
    if new.effective_from is None:
        _wake(connection, brand_id, present, {new.membership_type_id})
    else:
        schedules.wake_type(connection, brand_id, new.membership_type_id, now)
    audit.write(connection, brand_id, "credit_rule.created", credit_rule_id, after=says)
    return get(connection, brand_id, credit_rule_id)


def change(connection: Connection, brand_id: UUID, credit_rule_id: UUID, change: CreditRuleChange) -> dict[str, Any]:
    """The next version, even where nothing differs: `include_upcoming` alone can matter. Raises NotFound, Invalid."""
    clock.work_alone(connection, brand_id)
    latest = _latest(connection, brand_id, credit_rule_id, hold=True)
    says = _changed(connection, brand_id, latest, change)
    present = clock.read(connection, brand_id, hold=True)
    _add_version(connection, brand_id, credit_rule_id, latest["version"] + 1, present.now, says)
    _wake(connection, brand_id, present, {latest["membership_type_id"], says["membership_type_id"]})
    says["version"] = latest["version"] + 1
    before, after = audit.changed(latest, says)
    audit.write(connection, brand_id, "credit_rule.updated", credit_rule_id, before=before, after=after)
    return get(connection, brand_id, credit_rule_id)


def delete(connection: Connection, brand_id: UUID, credit_rule_id: UUID) -> None:
    """The last version, in force for everything at once. Credits that are out live on. Raises NotFound."""
    clock.work_alone(connection, brand_id)
    latest = _latest(connection, brand_id, credit_rule_id, hold=True)
    now = clock.read(connection, brand_id, hold=True).now
    says = {**latest, "include_upcoming": True, "deleted": True}
    _add_version(connection, brand_id, credit_rule_id, latest["version"] + 1, now, says)
    connection.execute(update(credit_rules).where(_is(brand_id, credit_rule_id)).values(deleted_at=now))
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


_SAYS = (
    "membership_type_id",
    "coupon_id",
    "coupon_name",
    "coupon_description",
    "roll_over",
    "roll_over_limit",
    "issue_on_signup",
    "multi_use",
    "max_uses",
    "for_lead_booker_only",
    "issuing_frequency",
    "include_upcoming",
)


def _is(brand_id: UUID, credit_rule_id: UUID) -> Any:
    return (credit_rules.c.brand_id == brand_id) & (credit_rules.c.credit_rule_id == credit_rule_id)


def _latest(connection: Connection, brand_id: UUID, credit_rule_id: UUID, *, hold: bool = False) -> dict[str, Any]:
    # The rule's row is the lock under which versions are numbered, one change after the other.
    there = select(credit_rules.c.deleted_at).where(_is(brand_id, credit_rule_id))
    rule = connection.execute(there.with_for_update() if hold else there).one_or_none()
    if rule is None or rule.deleted_at is not None:
        raise NotFound("There is no such credit rule.")
    versions = rule_versions.c
    latest = (
        select(versions.version, *(versions[name] for name in _SAYS))
        .where(versions.brand_id == brand_id, versions.credit_rule_id == credit_rule_id)
        .order_by(versions.version.desc())
        .limit(1)
    )
    return dict(connection.execute(latest).mappings().one())


def _add_version(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, version: int, now: datetime, says: dict[str, Any]
) -> None:
    versions = rule_versions.c
    others = select(func.count(versions.credit_rule_id.distinct())).where(
        versions.brand_id == brand_id,
        versions.membership_type_id == says["membership_type_id"],
        versions.credit_rule_id != credit_rule_id,
    )
    if not says.get("deleted") and (version > MOST_VERSIONS or (connection.scalar(others) or 0) >= MOST_RULES):
        raise RuleLimit
    connection.execute(
        insert(rule_versions).values(
            brand_id=brand_id,
            credit_rule_id=credit_rule_id,
            version=version,
            created_at=now,
            deleted=says.get("deleted", False),
            **{name: says[name] for name in _SAYS},
        )
    )


def _wake(connection: Connection, brand_id: UUID, present: BrandClock, type_ids: set[UUID]) -> None:
    # Otherwise time has passed since anything was settled, and no version is in force for what was.
    if present.stands_still:
        schedules.wake_settled_at(connection, brand_id, list(type_ids), present.now)


def as_created(connection: Connection, brand_id: UUID, new: NewCreditRule) -> dict[str, Any]:
    """What version 1 of a new rule would say. Raises Invalid."""
    says = new.model_dump()
    _check_names(connection, brand_id, says)
    _check_limits(says)
    present = clock.read(connection, brand_id)
    if new.effective_from is not None and new.effective_from > day_of(present.now, present.zone):
        wrong = "must not be after today"
        raise Invalid(f"effective_from: {wrong}", fields={"effective_from": wrong})
    return says


def as_changed(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, change: CreditRuleChange
) -> dict[str, Any]:
    """What the next version of a rule would say. Raises NotFound, Invalid."""
    return _changed(connection, brand_id, _latest(connection, brand_id, credit_rule_id), change)


def _changed(
    connection: Connection, brand_id: UUID, latest: dict[str, Any], change: CreditRuleChange
) -> dict[str, Any]:
    """What the next version says. A flag that is turned off takes its limit with it."""
    named = change.model_dump(exclude_unset=True)
    _check_names(connection, brand_id, named)
    limits = {"roll_over": "roll_over_limit", "multi_use": "max_uses"}
    cleared = {limit: None for flag, limit in limits.items() if named.get(flag) is False}
    says = {**latest, **cleared, **named, "include_upcoming": change.include_upcoming}
    _check_limits(says)
    return says


def _check_limits(says: dict[str, Any]) -> None:
    """Raises Invalid where a limit has nothing to limit (SEMANTICS 6)."""
    fields = {}
    if says["roll_over_limit"] is not None and not says["roll_over"]:
        fields["roll_over_limit"] = "goes only with roll_over"
    elif says["roll_over_limit"] is not None and says["issuing_frequency"] == IssuingFrequency.ONCE:
        fields["roll_over_limit"] = "P0D has no further periods"
    if says["max_uses"] is not None and not says["multi_use"]:
        fields["max_uses"] = "goes only with multi_use"
    if fields:
        raise Invalid(fields=fields)


def _check_names(connection: Connection, brand_id: UUID, says: dict[str, Any]) -> None:
    fields = {}
    type_id, coupon_id = says.get("membership_type_id"), says.get("coupon_id")
    if type_id is not None and not membership_types.known(connection, brand_id, [type_id]):
        fields["membership_type_id"] = "There is no such membership type."
    if coupon_id is not None and not coupons.is_known(connection, brand_id, coupon_id):
        fields["coupon_id"] = "There is no such coupon."
    if fields:
        raise Invalid(" ".join(fields.values()), fields=fields)


def _all(brand_id: UUID) -> Select[Any]:
    versions = rule_versions.alias("later")
    latest = (
        select(func.max(versions.c.version))
        .where(versions.c.brand_id == brand_id, versions.c.credit_rule_id == credit_rules.c.credit_rule_id)
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
            *(rule_versions.c[name] for name in _SAYS if name not in ("coupon_description", "include_upcoming")),
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

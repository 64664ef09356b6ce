"""Rule versions: what a rule says, each state of it kept for good (SEMANTICS 4)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool
from pydantic.config import JsonDict
from sqlalchemy import Connection, and_, func, insert, select

from issuance import limits
from issuance.catalog import coupons, membership_types
from issuance.database.tables import credit_rules, rule_versions
from issuance.deciding.calendar import day_of
from issuance.deciding.frequency import IssuingFrequency
from issuance.errors import Conflict, Invalid, NotFound
from issuance.fields import (
    Body,
    CalendarDate,
    CouponName,
    Description,
    Identifier,
    MaxUses,
    RollOverLimit,
    goes_with,
)
from issuance.tenancy import clock

#: Which flag each limit goes with, and how the API document says it.
_TRUE: JsonDict = {"const": True}
_GO_WITH: tuple[tuple[str, str, JsonDict], ...] = (
    ("max_uses", "multi_use", {"multi_use": _TRUE}),
    ("roll_over_limit", "roll_over", {"roll_over": _TRUE, "issuing_frequency": {"not": {"const": "P0D"}}}),
)


def _limits(*, of_a_change: bool = False) -> JsonDict:
    """Only the rule knows the flags that a change does not name."""
    said: JsonDict = {}
    for limit, flag, others in _GO_WITH:
        said |= goes_with(limit, others) if of_a_change else goes_with(limit, others, flag)
    return {"dependentSchemas": said}


class RuleLimit(Conflict):
    """There is no room for more: a membership type has at most 200 rules, a rule at most 1,000 versions, and all rules
    of a brand together 10,000."""

    code = "too_many_rules"


class NewCreditRule(Body):
    """`include_upcoming`: in force from the next cycle on for members who joined before the rule existed."""

    model_config = ConfigDict(json_schema_extra=_limits())

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
    # What is not named stays as the rule has it, and the API document shows no default.
    return Field(default_factory=lambda: None)


class CreditRuleChange(Body):
    """What is not named stays; but without `roll_over` there is no limit to it, and without `multi_use` no `max_uses`.
    `include_upcoming`: moves the cycle that is already scheduled to the new version."""

    model_config = ConfigDict(json_schema_extra=_limits(of_a_change=True))

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


SAYS = (
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
    connection: Connection, brand_id: UUID, latest: dict[str, Any], change: CreditRuleChange
) -> dict[str, Any]:
    """What the version after `latest` would say. A flag that is turned off takes its limit with it. Raises Invalid."""
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


def latest_of(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, *, lock: bool = False, seen: int | None = None
) -> dict[str, Any]:
    """The latest version of a rule. `lock` locks the rule's row: versions are numbered under it, one change after the
    other. `seen`: the version that whoever changes the rule has before them, if they say so.

    Raises NotFound, also when the rule is deleted; Conflict where another version than the one `seen` is the latest.
    """
    columns = credit_rules.c
    there = select(columns.deleted_at).where(columns.brand_id == brand_id, columns.credit_rule_id == credit_rule_id)
    rule = connection.execute(there.with_for_update() if lock else there).one_or_none()
    if rule is None or rule.deleted_at is not None:
        raise NotFound("There is no such credit rule.")
    versions = rule_versions.c
    latest = (
        select(versions.version, *(versions[name] for name in SAYS))
        .where(versions.brand_id == brand_id, versions.credit_rule_id == credit_rule_id)
        .order_by(versions.version.desc())
        .limit(1)
    )
    row = dict(connection.execute(latest).mappings().one())
    if seen is not None and row["version"] != seen:
        raise Conflict(
            f"Somebody saved version {row['version']} of this rule since you opened it as version {seen}."
            " Look at it as it is, and change that."
        )
    return row


def add(
    connection: Connection, brand_id: UUID, credit_rule_id: UUID, version: int, now: datetime, says: dict[str, Any]
) -> None:
    """Keep one more version of a rule. Raises RuleLimit."""
    versions = rule_versions.c
    its_type = and_(
        versions.membership_type_id == says["membership_type_id"], versions.credit_rule_id != credit_rule_id
    )
    numbers = select(
        func.count().label("of_all"), func.count(versions.credit_rule_id.distinct()).filter(its_type).label("rules")
    )
    if not says.get("deleted"):
        are = connection.execute(numbers.where(versions.brand_id == brand_id)).one()
        most = limits.current.catalog
        if version > most.versions or are.rules >= most.rules or are.of_all >= most.versions_of_all:
            raise RuleLimit
    connection.execute(
        insert(rule_versions).values(
            brand_id=brand_id,
            credit_rule_id=credit_rule_id,
            version=version,
            created_at=now,
            deleted=says.get("deleted", False),
            **{name: says[name] for name in SAYS},
        )
    )

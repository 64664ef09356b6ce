"""Credit rules with all their versions, as decisions read them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from issuance.database.statements import Row, Statement
from issuance.deciding.calendar import midnight
from issuance.deciding.facts import Coupon, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency, parse_validity

#: What a version says that has the same name in the table and in RuleVersion.
_SAID_ALIKE = (
    *("coupon_id", "coupon_name", "roll_over", "roll_over_limit", "issue_on_signup", "multi_use", "max_uses"),
    *("for_lead_booker_only", "include_upcoming"),
)
_FORMER = "FROM coupon_validities f WHERE (f.brand_id, f.coupon_id) = (c.brand_id, c.coupon_id)"
_OF_COUPON = f"""
    c.validity, c.updated_at > c.created_at AS coupon_edited,
    ARRAY(SELECT f.until {_FORMER} ORDER BY f.until) AS ends,
    ARRAY(SELECT f.validity {_FORMER} ORDER BY f.until) AS former
"""
_EVERY_VERSION = f"""
    SELECT v.credit_rule_id, r.created_at AS made_at, r.effective_from, r.deleted_at, v.version, v.created_at,
           v.membership_type_id, v.issuing_frequency, {", ".join(f"v.{name}" for name in _SAID_ALIKE)},
           c.coupon_id IS NOT NULL AS coupon_there, {_OF_COUPON},
           (SELECT b.guard_max_per_day IS NOT NULL OR b.guard_times_busiest_day IS NOT NULL
                   OR EXISTS (SELECT FROM held_rules h WHERE h.brand_id = :brand_id)
              FROM brands b WHERE b.brand_id = :brand_id) AS guarded
      FROM rule_versions v
      JOIN credit_rules r USING (brand_id, credit_rule_id)
      LEFT JOIN coupons c USING (brand_id, coupon_id)
     WHERE v.brand_id = :brand_id AND NOT v.deleted
       AND EXISTS (SELECT FROM rule_versions o
                    WHERE (o.brand_id, o.credit_rule_id) = (:brand_id, v.credit_rule_id)
                      AND o.membership_type_id = ANY(:types))
     ORDER BY v.credit_rule_id, v.version
"""
_RULES = Statement(_EVERY_VERSION)
_RULES_LOCKED = Statement(f"{_EVERY_VERSION} FOR KEY SHARE OF r")
_TYPES_OF_RULE = text("""
    SELECT DISTINCT membership_type_id FROM rule_versions
     WHERE brand_id = :brand_id AND credit_rule_id = :credit_rule_id
""")
_COUPON = text(f"""
    SELECT coupon_id, {_OF_COUPON} FROM coupons c WHERE brand_id = :brand_id AND coupon_id = :coupon_id
""")


class RuleBook:
    """The rules of a brand's membership types, deleted ones included. A rule belongs to each type that any of its
    versions names.

    `lock` keeps them from being changed until the transaction ends, so that nothing is issued after a deletion.
    """

    def __init__(self, connection: Connection, brand_id: UUID, zone: ZoneInfo, *, lock: bool = False) -> None:
        self._connection, self._brand_id, self._zone = connection, brand_id, zone
        self._statement = _RULES_LOCKED if lock else _RULES
        self._of_type: dict[UUID, list[Rule]] = {}
        #: Whether the brand has a guard, or still has a held rule.
        self.guarded = False

    def of(self, types: Sequence[UUID]) -> list[Rule]:
        """The rules of some types, each once, by id."""
        self.open(types)
        if len(types) == 1:
            return self._of_type[types[0]]
        rules = {rule.credit_rule_id: rule for type_id in types for rule in self._of_type[type_id]}
        return [rules[rule_id] for rule_id in sorted(rules)]

    def edited(self, credit_rule_id: UUID, now: datetime, says: Mapping[str, Any]) -> Rule:
        """A rule as it would be if it were saved now: with one version more, deleted, or new. `says`: what the version
        says, by the names of its columns; of a deletion, that it is `deleted`."""
        parameters = {"brand_id": self._brand_id, "credit_rule_id": credit_rule_id, "coupon_id": says.get("coupon_id")}
        types = list(self._connection.scalars(_TYPES_OF_RULE, parameters))
        known = (
            next((rule for rule in self.of(types) if rule.credit_rule_id == credit_rule_id), None) if types else None
        )
        if known is not None and says.get("deleted"):
            return replace(known, deleted_at=now)
        coupon = self._connection.execute(_COUPON, parameters).one_or_none()
        version = RuleVersion(
            version=1 if known is None else known.latest.version + 1,
            created_at=now,
            membership_type_id=UUID(says["membership_type_id"]),
            coupon=None if coupon is None else _coupon(coupon),
            frequency=IssuingFrequency(says["issuing_frequency"]),
            **{name: says[name] for name in _SAID_ALIKE},
        )
        if known is not None:
            return replace(known, versions=(*known.versions, version))
        if says.get("effective_from") is None:
            return Rule(credit_rule_id, (version,), None)
        promised_at = midnight(date.fromisoformat(says["effective_from"]), self._zone)
        return Rule(credit_rule_id, (replace(version, created_at=promised_at),), None, now)

    def open(self, types: Iterable[UUID]) -> None:
        """Read the rules of some types at once."""
        wanted = set(types).difference(self._of_type)
        if not wanted:
            return
        versions: dict[UUID, list[RuleVersion]] = {}
        told: dict[UUID, Row] = {}
        for row in self._statement.found(self._connection, {"brand_id": self._brand_id, "types": list(wanted)}):
            versions.setdefault(row.credit_rule_id, []).append(_version(row))
            told[row.credit_rule_id] = row
            self.guarded = row.guarded
        rules = [self._rule(told[rule_id], found) for rule_id, found in versions.items()]
        for type_id in wanted:
            self._of_type[type_id] = [
                rule for rule in rules if any(version.membership_type_id == type_id for version in rule.versions)
            ]

    def _rule(self, row: Row, versions: list[RuleVersion]) -> Rule:
        if row.effective_from is None:
            return Rule(row.credit_rule_id, tuple(versions), row.deleted_at)
        first = replace(versions[0], created_at=midnight(row.effective_from, self._zone))
        return Rule(row.credit_rule_id, (first, *versions[1:]), row.deleted_at, row.made_at)


def _version(row: Row) -> RuleVersion:
    return RuleVersion(
        version=row.version,
        created_at=row.created_at,
        membership_type_id=row.membership_type_id,
        coupon=_coupon(row) if row.coupon_there else None,
        frequency=IssuingFrequency(row.issuing_frequency),
        **{name: getattr(row, name) for name in _SAID_ALIKE},
    )


def _coupon(row: Any) -> Coupon:
    """The coupon of a row with `_OF_COUPON`."""
    former = zip(row.ends, row.former, strict=True)
    return Coupon(
        coupon_id=row.coupon_id,
        validity=row.validity and parse_validity(row.validity),
        edited=bool(row.coupon_edited),
        former=tuple((until, validity and parse_validity(validity)) for until, validity in former),
    )

"""Credit rules with all their versions, as decisions read them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from issuance.deciding.calendar import midnight
from issuance.deciding.facts import Coupon, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency, parse_validity

_RULES = text("""
    SELECT v.credit_rule_id, r.created_at AS made_at, r.effective_from, r.deleted_at, v.version, v.created_at,
           v.membership_type_id, v.coupon_id, v.coupon_name,
           c.coupon_id IS NOT NULL AS coupon_there, c.validity, v.roll_over, v.roll_over_limit, v.issue_on_signup,
           v.multi_use, v.max_uses, v.for_lead_booker_only, v.issuing_frequency, v.include_upcoming
      FROM rule_versions v
      JOIN credit_rules r USING (brand_id, credit_rule_id)
      LEFT JOIN coupons c USING (brand_id, coupon_id)
     WHERE v.brand_id = :brand_id AND NOT v.deleted
       AND EXISTS (SELECT FROM rule_versions o
                    WHERE (o.brand_id, o.credit_rule_id) = (v.brand_id, v.credit_rule_id)
                      AND o.membership_type_id = ANY(:types))
     ORDER BY v.credit_rule_id, v.version
""")
_RULES_HELD = text(f"{_RULES.text} FOR KEY SHARE OF r")


class RuleBook:
    """The rules of a brand's membership types, deleted ones too: those any version of which is for the type.

    `hold` keeps them from being changed until the transaction ends, so that nothing is issued after a deletion.
    """

    def __init__(self, connection: Connection, brand_id: UUID, zone: ZoneInfo, *, hold: bool = False) -> None:
        self._connection, self._brand_id, self._zone = connection, brand_id, zone
        self._statement = _RULES_HELD if hold else _RULES
        self._of_type: dict[UUID, list[Rule]] = {}

    def of(self, types: Sequence[UUID]) -> list[Rule]:
        """The rules of some types, each once, by id."""
        self.open(types)
        if len(types) == 1:
            return self._of_type[types[0]]
        rules = {rule.credit_rule_id: rule for type_id in types for rule in self._of_type[type_id]}
        return [rules[rule_id] for rule_id in sorted(rules)]

    def open(self, types: Iterable[UUID]) -> None:
        """Read the rules of some types at once."""
        wanted = set(types).difference(self._of_type)
        if not wanted:
            return
        versions: dict[UUID, list[RuleVersion]] = {}
        told: dict[UUID, Row[Any]] = {}
        for row in self._connection.execute(self._statement, {"brand_id": self._brand_id, "types": list(wanted)}):
            versions.setdefault(row.credit_rule_id, []).append(_version(row))
            told[row.credit_rule_id] = row
        rules = [self._rule(told[rule_id], found) for rule_id, found in versions.items()]
        for type_id in wanted:
            self._of_type[type_id] = [
                rule for rule in rules if any(version.membership_type_id == type_id for version in rule.versions)
            ]

    def _rule(self, row: Row[Any], versions: list[RuleVersion]) -> Rule:
        if row.effective_from is None:
            return Rule(row.credit_rule_id, tuple(versions), row.deleted_at)
        first = replace(versions[0], created_at=midnight(row.effective_from, self._zone))
        return Rule(row.credit_rule_id, (first, *versions[1:]), row.deleted_at, row.made_at)


def _version(row: Row[Any]) -> RuleVersion:
    coupon = Coupon(row.coupon_id, None if row.validity is None else parse_validity(row.validity))
    return RuleVersion(
        version=row.version,
        created_at=row.created_at,
        membership_type_id=row.membership_type_id,
        coupon_id=row.coupon_id,
        coupon_name=row.coupon_name,
        coupon=coupon if row.coupon_there else None,
        roll_over=row.roll_over,
        issue_on_signup=row.issue_on_signup,
        multi_use=row.multi_use,
        for_lead_booker_only=row.for_lead_booker_only,
        frequency=IssuingFrequency(row.issuing_frequency),
        include_upcoming=row.include_upcoming,
        max_uses=row.max_uses,
        roll_over_limit=row.roll_over_limit,
    )

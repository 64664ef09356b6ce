"""preview(facts, credits, before, after, …): what a rule that is not saved would change (SEMANTICS 17).

It is two forecasts: one with the rules as they are, one as if the rule had been saved now.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from issuance.deciding.facts import Credit, CreditKey, MembershipFacts, Rule
from issuance.deciding.forecast import Given, forecast


class Difference(NamedTuple):
    """A credit of a guest, by the place, for a period: as it will be without the previewed rule, and with it. None if
    there is none."""

    place: int
    period_start: date
    before: Credit | None
    after: Credit | None


class Preview(NamedTuple):
    """What becomes of one membership: how many credits start on each date before and after, and what differs."""

    before: Counter[date]
    after: Counter[date]
    differences: tuple[Difference, ...]


def preview(
    facts: MembershipFacts,
    credits: Sequence[Credit],
    rules: Sequence[Rule],
    saved: Sequence[Rule],
    rule: Rule,
    now: datetime,
    last_day: date,
) -> Preview:
    """Compare the credits of a rule that will be out when `last_day` is over. `rules`: all of the membership's types,
    as they are; `saved`: as they would be if `rule` had been saved at `now`."""
    only = rule.credit_rule_id
    before, after = (forecast(facts, credits, some, now, last_day, only=only) for some in (rules, saved))
    was, becomes = _by_key(before), _by_key(after)
    differences = [
        Difference(key.place, key.period_start, was.get(key), becomes.get(key))
        for key in sorted(was.keys() | becomes.keys())
        if _terms(rule, was.get(key)) != _terms(rule, becomes.get(key))
    ]
    return Preview(_days(before), _days(after), tuple(differences))


def _by_key(given: Sequence[Given]) -> dict[CreditKey, Credit]:
    return {one.credit.key: one.credit for one in given}


def _days(given: Sequence[Given]) -> Counter[date]:
    return Counter(one.day for one in given)


def _terms(rule: Rule, credit: Credit | None) -> tuple[object, ...] | None:
    """What a credit is to who holds it, whatever the number of its version. The versions of a rule that is saved begin
    with those that it has."""
    if credit is None:
        return None
    coupon_id = rule.version(credit.rule_version).coupon_id
    return coupon_id, credit.valid_from, credit.expires_at, credit.multi_use, credit.max_uses

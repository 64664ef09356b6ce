"""Which coupons a guest has used under another membership type, in a period that ran when the type changed
(SEMANTICS 18)."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple
from uuid import UUID

from issuance.deciding.facts import Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History
from issuance.deciding.validities import period_start_of, ran_at


class _Use(NamedTuple):
    place: int
    coupon_id: str
    membership_type_id: UUID
    #: The changes of type during its period, by date.
    changes: frozenset[date]


class Used:
    """The uses of a membership's credits that count when its type changes."""

    def __init__(self, history: History, rules: Iterable[Rule]) -> None:
        self._history = history
        by_id = {rule.credit_rule_id: rule for rule in rules} if len(history.types.known) > 1 else {}
        self._uses: list[_Use] = []
        for credit in history.credits:
            rule = by_id.get(credit.key.credit_rule_id)
            if rule is not None and (credit.redeemed_at is not None or credit.uses):
                version = rule.version(credit.rule_version)
                period_start = period_start_of(history, version, credit.key, ran_at(history, credit))
                changes = self._changes(version, period_start)
                self._uses.append(_Use(credit.key.place, version.coupon_id, version.membership_type_id, changes))

    def by(self, place: int, version: RuleVersion, period_start: date) -> bool:
        """Whether a guest has used the coupon of an occurrence under another type before the type changed."""
        if not self._uses:
            return False
        changes = self._changes(version, period_start)
        return any(
            use.place == place
            and use.coupon_id == version.coupon_id
            and use.membership_type_id != version.membership_type_id
            and not use.changes.isdisjoint(changes)
            for use in self._uses
        )

    def _changes(self, version: RuleVersion, period_start: date) -> frozenset[date]:
        """The changes of type during a rule's period. The sign-up's and P0D's never count as running."""
        history = self._history
        if version.frequency is IssuingFrequency.ONCE or period_start == history.starts_on:
            return frozenset()
        end = history.calendar.next_boundary(version.frequency.interval, period_start)
        return frozenset(history.types.changes_within(period_start, end))

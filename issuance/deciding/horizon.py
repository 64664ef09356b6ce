"""What can still change of a membership when it is settled again, so that the rest need not be looked at
(docs/decisions/0054).

All that a membership is owed follows from facts, rules and time. If it was in order when it was settled, and only
charges that pay have come since, then an occurrence that began before those charges' first day keeps its outcome, and
its credits change only by expiring. This module says when that is so. If it is not certain, everything is decided
again.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from issuance.deciding.calendar import day_of
from issuance.deciding.charges import PAYING
from issuance.deciding.coverage import DAYS_OFF
from issuance.deciding.facts import ChargeTold, GuestsChanged, Rule, SignedUp, StatusChanged
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History
from issuance.deciding.occurrences import rides_later, versions_that_count
from issuance.deciding.statuses import Status

#: The statuses of a membership that is in order, as lists show them.
ONGOING = frozenset({Status.ACTIVE, Status.BILLING})
_DAY = timedelta(days=1)


def first_day(settled_at: datetime, zone: ZoneInfo, news_for: Iterable[date]) -> date:
    """The first day that is decided again. It lies before the day of the last settling, and before any day that a
    charge with news can cover. `news_for`: all dates that were told as the start of those charges."""
    return min([day_of(settled_at, zone), *(day - DAYS_OFF for day in news_for)]) - _DAY


def holds(history: History, rules: Sequence[Rule]) -> bool:
    """Whether what began before the history's horizon stays as it was settled. The membership was in order then, and
    what is not in the facts are charges that cover nothing since."""
    horizon, facts = history.horizon, history.facts
    assert horizon is not None, "it is asked of a history that leaves something out"
    since = history.start_of(horizon.day)
    archivings = (facts.archived_at, facts.returned_at, *facts.archived_guests)
    return (
        max(history.starts_on, history.first_anchor) < horizon.day
        and not any(archivings)
        and not facts.held
        and all(_is_calm(fact, since) for fact in facts.told)
        and all(change.moment.at < _charged_from(history) for change in history.status_changes)
        and all(_has_passed(history, rule, since) for rule in rules)
    )


def _is_calm(fact: object, since: datetime) -> bool:
    """Whether a fact leaves the standing, the calendar, the type and the party as they are since an instant."""
    if isinstance(fact, ChargeTold):
        return fact.state in PAYING
    return isinstance(fact, SignedUp | GuestsChanged | StatusChanged) and fact.moment.at < since


def _charged_from(history: History) -> datetime:
    """The start of the billing period that contains the horizon, if that is charged automatically: a membership that
    was paused or ended then pays for nothing in the whole period. Otherwise the start of the horizon's day."""
    assert history.horizon is not None, "it is asked of a history that leaves something out"
    charged = [charge.told[0].moment.at for charge in history.charges if charge.automatic]
    return min([history.start_of(history.horizon.day), *charged])


def _has_passed(history: History, rule: Rule, since: datetime) -> bool:
    """Whether the same versions of a rule decide about its occurrences before the horizon as before."""
    versions = versions_that_count(rule, history.signed_up_at)
    if len({version.frequency for version in versions}) > 1:
        return False  # which dates take place follows from all before
    if max(rule.made_at or rule.latest.created_at, rule.latest.created_at) >= since:
        return False
    if any(version.coupon is None for version in versions):
        return False
    is_import = history.starts_on < day_of(history.signed_up_at, history.facts.zone)
    is_once = versions[-1].frequency is IssuingFrequency.ONCE
    # What was over, or ends, by a coupon's validity, was so by the validity that it had then.
    asks_for_validity = is_import or rule.made_at is not None or is_once
    if asks_for_validity and any(version.coupon is not None and version.coupon.edited for version in versions):
        return False
    return not is_once or _was_given(history, rule, since)


def _was_given(history: History, rule: Rule, since: datetime) -> bool:
    """Whether the only occurrence of a P0D rule lies before the horizon: on the sign-up, or on a billing period."""
    assert history.horizon is not None, "it is asked of a history that leaves something out"
    if not any(rides_later(history, version) for version in versions_that_count(rule, history.signed_up_at)):
        return True
    return history.horizon.is_plain and any(
        credit.key.credit_rule_id == rule.credit_rule_id
        and credit.key.reissue == 0
        and not credit.manual
        and credit.issued_at < since
        for credit in history.credits
    )

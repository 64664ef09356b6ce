"""A membership as a biller tells of it, and the credits that come of it."""

from datetime import UTC, date, datetime, time

from issuance.deciding.calendar import add_months
from issuance.deciding.facts import Credit, Rule, RuleVersion
from issuance.deciding.statuses import Status
from tests.unit.club import Life, at, rule, version

FIRST = date(2030, 1, 1)


def billed() -> RuleVersion:
    """Monthly by billing, not on sign-up, so that each credit is one charge's."""
    return version(issue_on_signup=False)


def life_from(start: date = FIRST, *rules: Rule, frequency: str = "P1M") -> Life:
    return Life(rules=rules or [rule(billed())], starts_on=start, billing_frequency=frequency)


def pay(life: Life, *starts: str, frequency: int = 1) -> None:
    """Each of these periods is charged on its first day, and the charge succeeds the same noon."""
    for start in starts:
        day = date.fromisoformat(start)
        for hours, state in ((0, "initiated"), (12, "succeeded")):
            instant = datetime.combine(day, time(hours), UTC)
            life.charge(instant, state, f"c {start}", start, add_months(day, frequency).isoformat())


def given(life: Life, now: str) -> list[str]:
    """Settle, and name the period starts of the credits that are in force then."""
    life.settle(at(now))
    return sorted(credit.key.period_start.isoformat() for credit in held(life, now))


def held(life: Life, now: str) -> list[Credit]:
    return [credit for credit in life.credits if credit.is_held_at(at(now))]


def stands(life: Life, now: str) -> Status:
    return life.history(at(now)).standing.at(at(now))

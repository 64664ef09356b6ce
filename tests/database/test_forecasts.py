"""A rule's forecast on a real database: whose credits it counts, in which months (SEMANTICS 14, law 12)."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from issuance.catalog import membership_types, rules
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.deciding.frequency import IssuingFrequency
from issuance.memberships import forecasts
from tests.database.clubs import Club


def ahead(club: Club, rule_id: UUID, months: int = 3) -> dict[str, int]:
    """The months of a forecast in which there is any."""
    with transaction(club.engine, club.brand_id) as connection:
        told = forecasts.forecast(connection, club.brand_id, rule_id, months)
    return {month["month"]: month["credits"] for month in told if month["credits"]}


def a_rule(club: Club, type_id: UUID | None = None, **says: Any) -> UUID:
    """One more rule, by default of the club's type."""
    body = NewCreditRule(membership_type_id=type_id or club.type_id, coupon_id="tea", coupon_name="Tea", **says)
    with transaction(club.engine, club.brand_id) as connection:
        rule_id: UUID = rules.create(connection, club.brand_id, body)["id"]
    return rule_id


def charge(club: Club, day: str) -> None:
    """Everybody's charge for the period from a date on comes on that date."""
    club.move_clock(f"{day}T12:00")
    told = ({"membership_id": str(one), "charge_id": f"{one} {day}", "period_start": day} for one in club.members)
    club.settle(club.tell("charge.initiated", f"{day}T09:00", *told))


def issued(club: Club, rule_id: UUID) -> Counter[str]:
    """Credits of a rule by the month in which they came out."""
    found = club.rows("SELECT valid_from FROM credits WHERE credit_rule_id = :rule_id", rule_id=rule_id)
    return Counter(f"{row.valid_from:%Y-%m}" for row in found)


def test_once_rules_are_told_for_the_month_in_which_they_then_come(new_club: Callable[..., Club]) -> None:
    """P0D, also saved with include_upcoming after the first period: on the next billing period that is charged."""
    club = new_club("external")
    club.sign_up(3)
    charge(club, "2031-02-28")
    club.move_clock("2031-03-10T12:00")
    plain = a_rule(club, issuing_frequency=IssuingFrequency.ONCE)
    upcoming = a_rule(club, issuing_frequency=IssuingFrequency.ONCE, issue_on_signup=True, include_upcoming=True)
    assert ahead(club, plain) == {"2031-04": 3}, "the period of 31 March was scheduled before the rule was saved"
    assert ahead(club, upcoming) == {"2031-03": 3}
    charge(club, "2031-03-31")
    charge(club, "2031-04-30")
    assert (issued(club, plain), issued(club, upcoming)) == ({"2031-04": 3}, {"2031-03": 3})
    assert ahead(club, plain) == {"2031-04": 3}
    club.engine.dispose()


def test_who_will_be_of_the_rules_type_is_counted_from_then_on(new_club: Callable[..., Club]) -> None:
    """Of an announced change of type the old type's rule tells what comes before it, the new one's what comes after."""
    club = new_club("external", issuing_frequency="billing_cycle", issue_on_signup=False)
    club.sign_up(2)
    with transaction(club.engine, club.brand_id) as connection:
        silver = membership_types.create(connection, club.brand_id, NewMembershipType(name="Silver"))["id"]
    new = a_rule(club, silver, roll_over=True)
    changes = {"membership_id": str(club.members[0]), "membership_type_id": str(silver)}
    club.settle(club.tell("membership.type_changed", "2031-03-31", changes))
    said = ahead(club, club.rule_id), ahead(club, new)
    assert said == ({"2031-02": 2, "2031-03": 1}, {"2031-03": 1})
    charge(club, "2031-02-28")
    charge(club, "2031-03-31")
    assert (issued(club, club.rule_id), issued(club, new)) == said
    assert (ahead(club, club.rule_id, 1), ahead(club, new, 1)) == ({"2031-03": 1}, {"2031-03": 1})
    club.engine.dispose()


def test_who_has_announced_an_end_is_counted_up_to_it(new_club: Callable[..., Club]) -> None:
    """Also where billing is automatic."""
    for billing in ("external", "automatic"):
        club = new_club(billing, issue_on_signup=False)
        club.sign_up(2)
        ends = {"membership_id": str(club.members[0]), "status": "active", "ends_on": "2031-03-15"}
        club.settle(club.tell("membership.status_changed", "2031-01-31T11:00", ends))
        assert ahead(club, club.rule_id) == {"2031-02": 2, "2031-03": 1}
        club.engine.dispose()

"""A membership that changes its type (SEMANTICS 18)."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from issuance.deciding.facts import Rule
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.reasons import Reason
from tests.unit.club import GOLD, SILVER, Life, at, changes_of, rule, version
from tests.unit.lives import lives, nows

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])


def of_both(**says: Any) -> list[Rule]:
    """A rule of each type, of one coupon: GOLD's is number 1, SILVER's 2."""
    types = enumerate((GOLD, SILVER), start=1)
    return [
        rule(version(**{"issue_on_signup": False, "membership_type_id": type_id, **says}), number=number)
        for number, type_id in types
    ]


def paid(*rules: Rule) -> Life:
    """Since 1 January, February to April paid on their first days."""
    life = Life(rules=rules or of_both(), starts_on=date(2030, 1, 1))
    for month in (2, 3, 4):
        life.charge(at(f"2030-0{month}-01"), "succeeded", f"c{month}", f"2030-0{month}-01")
    return life


def held(life: Life, now: str) -> list[tuple[int, int]]:
    """Settle, and give the rule's number and the month of each credit that is in force."""
    life.settle(at(now))
    return sorted(
        (credit.key.credit_rule_id.int - 0x1000, credit.key.period_start.month)
        for credit in life.credits
        if credit.is_held_at(at(now))
    )


def use(life: Life, number: int, month: int, now: str) -> None:
    """The guest uses a credit."""
    life.credits = [
        replace(credit, redeemed_at=at(now), uses=1)
        if (credit.key.credit_rule_id.int - 0x1000, credit.key.period_start.month) == (number, month)
        else credit
        for credit in life.credits
    ]


def test_with_keep_the_running_period_stays_the_old_types() -> None:
    """The new type's rules begin with the next period."""
    life = paid()
    life.change_type(at("2030-02-10"), SILVER)
    assert held(life, "2030-02-11") == [(1, 2)]
    assert held(life, "2030-03-02") == [(1, 2), (2, 3)]
    reasons = {
        (decision.credit_rule_id.int - 0x1000, decision.occurrence.day.month): decision.reason
        for decision in life.decisions(at("2030-03-02"))
    }
    assert (reasons[1, 3], reasons[2, 2]) == (Reason.OF_ANOTHER_TYPE, Reason.OF_ANOTHER_TYPE)


def test_with_switch_the_running_period_goes_over() -> None:
    """What is unused of the old type is revoked, and the new type gives its own from the event on."""
    life = paid()
    assert held(life, "2030-02-05") == [(1, 2)]
    life.change_type(at("2030-02-10T09:00"), SILVER, "switch")
    assert held(life, "2030-02-10T09:00") == [(2, 2)]
    (new,) = (credit for credit in life.credits if credit.revoked_at is None)
    assert new.valid_from == at("2030-02-10T09:00")


def test_what_was_used_before_the_change_is_not_given_again() -> None:
    """Under the other type in the running period; the next period gives its own."""
    life = paid()
    held(life, "2030-02-05")
    use(life, 1, 2, "2030-02-06")
    life.change_type(at("2030-02-10"), SILVER, "switch")
    assert held(life, "2030-02-10") == []
    decided = {decision.credit_rule_id.int - 0x1000: decision.reason for decision in life.decisions(at("2030-02-10"))}
    assert decided == {1: Reason.OF_ANOTHER_TYPE, 2: Reason.USED_BEFORE_CHANGE}
    assert [credit.flagged_at for credit in life.credits] == [None]
    assert held(life, "2030-03-02") == [(2, 3)]


def test_plans_that_change_at_the_hour_of_the_renewal_go_by_the_new_type() -> None:
    """The period that begins on the event's own date is the new type's, unless the old one's was used that morning."""
    for used in (False, True):
        life = paid()
        assert held(life, "2030-03-01T08:00") == [(1, 2), (1, 3)]
        if used:
            use(life, 1, 3, "2030-03-01T08:30")
        life.change_type(at("2030-03-01T09:00"), SILVER)
        assert held(life, "2030-03-01T09:00") == ([(1, 2)] if used else [(1, 2), (2, 3)])


def test_going_back_and_forth_gives_nothing_twice() -> None:
    """What was revoked by a switch lives again; used under the other type meanwhile, it does not."""
    for used in (False, True):
        life = paid()
        held(life, "2030-02-05")
        life.change_type(at("2030-02-10"), SILVER, "switch")
        assert held(life, "2030-02-10") == [(2, 2)]
        if used:
            use(life, 2, 2, "2030-02-11")
        life.change_type(at("2030-02-12"), GOLD, "switch")
        assert held(life, "2030-02-12") == ([] if used else [(1, 2)])
        assert len(life.credits) == 2


def test_running_is_counted_for_each_rule_by_its_own_periods() -> None:
    """A quarter that is running is switched, a month that is over is not."""
    quarterly = of_both(frequency=IssuingFrequency.QUARTER)
    life = Life(rules=quarterly, starts_on=date(2030, 1, 1))
    for month in (4, 5, 6):
        life.charge(at(f"2030-0{month}-01"), "succeeded", f"c{month}", f"2030-0{month}-01")
    assert held(life, "2030-05-02") == [(1, 4)]
    life.change_type(at("2030-06-20"), SILVER, "switch")
    assert held(life, "2030-06-20") == [(2, 4)]


def test_the_sign_ups_credit_stays_the_type_of_the_sign_up() -> None:
    """Running or ahead; the new type's is not given."""
    for changed_at in ("2029-12-28", "2030-01-10"):
        life = Life(rules=of_both(issue_on_signup=True), starts_on=date(2030, 1, 1), signed_up_at=at("2029-12-20"))
        life.change_type(at(changed_at), SILVER, "switch")
        assert held(life, "2030-01-15") == [(1, 1)]


@pytest.mark.parametrize("issue_on_signup", [True, False])
def test_the_new_types_once_rules_ride_on_the_next_billing_period(issue_on_signup: bool) -> None:
    """And what the old type's gave once stays."""
    life = paid(*of_both(frequency=IssuingFrequency.ONCE, issue_on_signup=issue_on_signup))
    assert held(life, "2030-02-05") == [(1, 1)]
    life.change_type(at("2030-02-10"), SILVER, "switch")
    assert held(life, "2030-02-28") == [(1, 1)]
    assert held(life, "2030-03-01") == [(1, 1), (2, 1)]
    assert [credit.valid_from for credit in life.credits][1] == at("2030-03-01")


def test_credits_of_a_manual_issue_are_not_touched() -> None:
    """A switch revokes what the schedule gave only."""
    life = paid()
    held(life, "2030-02-05")
    life.credits = [replace(credit, manual=True) for credit in life.credits]
    life.change_type(at("2030-02-10"), SILVER, "switch")
    assert held(life, "2030-02-10") == [(1, 2), (2, 2)]


def test_automatic_billing_goes_by_the_type_of_its_instant() -> None:
    """A change later that day neither charges it nor takes the charge back."""
    life = Life(rules=of_both(), starts_on=date(2030, 1, 1), silver_automatic=True)
    life.change_type(at("2030-02-01T10:00"), SILVER)
    life.change_type(at("2030-03-01T10:00"), GOLD)
    assert held(life, "2030-02-15") == []
    assert held(life, "2030-03-01T09:00") == [(2, 3)]
    assert held(life, "2030-03-01T11:00") == [(1, 3)]
    assert held(life, "2030-04-15") == [(1, 3)]


@laws
@given(lives(), st.data())
def test_settling_again_changes_nothing_whatever_was_used(life: Life, data: st.DataObject) -> None:
    """Uses between settlings decide what a change of type gives; settled once, it is settled."""
    for now in sorted(data.draw(st.lists(nows(life), min_size=2, max_size=4))):
        life.settle(now)
        used = data.draw(st.lists(st.booleans(), min_size=len(life.credits), max_size=len(life.credits)))
        life.credits = [
            replace(credit, redeemed_at=now, uses=1) if is_used and credit.is_held_at(now) else credit
            for credit, is_used in zip(life.credits, used, strict=True)
        ]
        assert changes_of(life.settle(now)) == []


@pytest.mark.parametrize("facts", ["switch, refunded", "disputed, switch, succeeded"])
def test_what_was_used_is_flagged_by_its_charge_whatever_becomes_of_the_type(facts: str) -> None:
    """It is paid for or it is not, whether the period is still the old type's or not (SEMANTICS 7)."""
    life = paid()
    held(life, "2030-02-05")
    use(life, 1, 2, "2030-02-06")
    for day, fact in enumerate(facts.split(", "), 10):
        instant = at(f"2030-02-{day}")
        if fact == "switch":
            life.change_type(instant, SILVER, "switch")
        else:
            life.charge(instant, fact, "c2", "2030-02-01")
        life.settle(instant)
    (credit,) = (one for one in life.credits if one.redeemed_at is not None)
    assert (credit.flagged_at is not None) is (fact == "refunded")

"""Who gets it, how long it lives, and why not (SEMANTICS 3, 5, 6)."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from issuance.deciding.decisions import Decision
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.manual_issue import issue_by_hand
from issuance.deciding.reasons import Outcome, Reason
from tests.unit.club import ADA, BEN, EVE, Life, at, party, rule, version


def issued(life: Life, now: str) -> list[Decision]:
    return [decision for decision in life.decisions(at(now)) if decision.reason is Reason.ISSUED]


def test_every_reason_belongs_to_one_outcome() -> None:
    """The closed sets of SEMANTICS 13."""
    held = {Reason.AWAITING_APPROVAL, Reason.CHARGE_UNPAID, Reason.NEEDS_ATTENTION, Reason.NOT_DUE_YET}
    assert {reason for reason in Reason if reason.outcome is Outcome.HELD} == held
    assert {reason for reason in Reason if reason.outcome is Outcome.FAILED} == {Reason.COUPON_MISSING, Reason.ERROR}
    assert {reason for reason in Reason if reason.outcome is Outcome.ISSUED} == {Reason.ISSUED, Reason.ALREADY_ISSUED}


def test_a_rule_without_issue_on_signup_gives_nothing_for_the_sign_up() -> None:
    """Not even where the first charge is taken on the day of joining."""
    life = Life(rules=[rule(version(issue_on_signup=False))])
    life.charge(at("2030-01-31"), "succeeded", "c0", "2030-01-31")
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    assert life.reasons(at("2030-03-01")) == {"2030-01-31": Reason.NOT_SIGNUP_RULE, "2030-02-28": Reason.ISSUED}


def test_joining_on_the_31st_with_billing_on_the_1st_gives_two_a_day_apart() -> None:
    """Sign-up, then schedule; joining on the billing date gives one."""
    apart = Life(billing_anchor=at("2030-02-01").date())
    apart.charge(at("2030-02-01"), "initiated", "c1", "2030-02-01")
    together = Life()
    together.charge(at("2030-01-31"), "initiated", "c0", "2030-01-31")
    assert [decision.occurrence.period_start.day for decision in issued(apart, "2030-02-02")] == [31, 1]
    assert [decision.occurrence.period_start.day for decision in issued(together, "2030-02-02")] == [31]


@pytest.mark.parametrize(("for_lead_booker_only", "guests"), [(True, {ADA}), (False, {ADA, BEN})])
def test_the_lead_booker_or_every_guest(for_lead_booker_only: bool, guests: set[object]) -> None:
    """One for the lead booker, or one for every guest on the order; who gets none is told why."""
    life = Life(rules=[rule(version(for_lead_booker_only=for_lead_booker_only))], guests=(ADA, BEN))
    decided = life.decisions(at("2030-02-01"))
    assert {life.guest(decision) for decision in decided if decision.reason is Reason.ISSUED} == guests
    others = {decision.reason for decision in decided if life.guest(decision) not in guests}
    assert others == ({Reason.NOT_LEAD_BOOKER} if for_lead_booker_only else set())


def test_a_guest_added_later_takes_part_from_the_next_occurrence() -> None:
    """Not in the turn that has begun, and never in a P0D turn that has passed."""
    life = Life(rules=[rule(), rule(version(frequency=IssuingFrequency.ONCE), number=2)])
    life.tell(at("2030-02-10"), "membership.guests_changed", **party(ADA, EVE))
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    evas = [decision for decision in issued(life, "2030-03-01") if life.guest(decision) == EVE]
    assert [decision.occurrence.period_start.isoformat() for decision in evas] == ["2030-02-28"]


def test_a_guest_removed_gets_nothing_for_a_turn_that_began_before() -> None:
    """On the order at the start, but not on it any more; coming back does not undo it."""
    life = Life(guests=(ADA, BEN))
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    life.tell(at("2030-03-05"), "membership.guests_changed", **party(ADA))
    life.tell(at("2030-03-06"), "membership.guests_changed", **party(ADA, BEN))
    bens = [decision.reason for decision in life.decisions(at("2030-03-10")) if life.guest(decision) == BEN]
    assert bens == [Reason.GUEST_REMOVED, Reason.GUEST_REMOVED]


def test_a_guest_who_was_archived_gets_nothing_more() -> None:
    """By no turn and by no hand, while the others on the order get theirs; what was issued before is left as it is."""
    life = Life(guests=(ADA, BEN))
    life.settle(at("2030-02-01"))
    life.archived_guests[BEN] = at("2030-02-10")
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    decided = life.decisions(at("2030-02-28"))
    assert [(life.guest(one), one.reason) for one in decided] == [
        (ADA, Reason.ALREADY_ISSUED), (BEN, Reason.ALREADY_ISSUED), (ADA, Reason.ISSUED), (BEN, Reason.MEMBER_ARCHIVED),
    ]  # fmt: skip
    (by_hand,) = life.rules
    given = [one.reason for one in issue_by_hand(life.history(at("2030-03-01")), by_hand, include_upcoming=False)]
    assert given == [Reason.HOLDS_LIVE_CREDIT, Reason.MEMBER_ARCHIVED]


@pytest.mark.parametrize("for_lead_booker_only", [True, False])
def test_a_turn_ahead_is_nobodys_who_gets_nothing_anyway(for_lead_booker_only: bool) -> None:
    """A forecast counts neither who does not lead, where only the lead booker gets any, nor who was archived."""
    life = Life(rules=[rule(version(for_lead_booker_only=for_lead_booker_only))], guests=(ADA, BEN, EVE))
    life.archived_guests[EVE] = at("2030-02-01")
    ahead = [one for one in life.decisions(at("2030-02-01"), at("2030-02-28").date()) if one.occurrence.day.day == 28]
    ben, eve = Reason.NOT_DUE_YET, Reason.MEMBER_ARCHIVED
    if for_lead_booker_only:
        ben = eve = Reason.NOT_LEAD_BOOKER
    assert [one.reason for one in ahead] == [Reason.NOT_DUE_YET, ben, eve]


def test_the_lead_booker_of_an_occurrence_is_the_one_at_its_start() -> None:
    """A lead handed over later counts from the next occurrence."""
    life = Life(rules=[rule(version(for_lead_booker_only=True))], guests=(ADA, BEN))
    life.tell(at("2030-02-10"), "membership.guests_changed", **party(ADA, BEN, lead=BEN))
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    assert [life.guest(decision) for decision in issued(life, "2030-03-01")] == [ADA, BEN]


def test_a_once_rule_rides_on_the_sign_up_or_on_the_first_paid_period() -> None:
    """P0D: one credit, keyed on starts_on; without issue_on_signup it is valid from the period it rides on."""
    for issue_on_signup, valid_from in ((True, "2030-02-10"), (False, "2030-03-31")):
        once = version(frequency=IssuingFrequency.ONCE, issue_on_signup=issue_on_signup)
        life = Life(rules=[rule(once)], signed_up_at=at("2030-01-31"))
        life.charge(at("2030-02-28"), "skipped", "c1", "2030-02-28")
        life.charge(at("2030-03-31"), "succeeded", "c2", "2030-03-31")
        life.charge(at("2030-04-30"), "succeeded", "c3", "2030-04-30")
        now = "2030-02-10" if issue_on_signup else "2030-03-31"
        (decision,) = issued(life, now)
        assert decision.occurrence.period_start == life.starts_on
        assert decision.occurrence.period_end is None
        assert decision.validities is not None
        assert decision.validities.valid_from == at(valid_from)


@pytest.mark.parametrize(
    ("says", "expires_at"),
    [
        ({"roll_over": True}, None),
        ({"roll_over": True, "validity": "P60D"}, "2030-04-29"),
        ({"roll_over": True, "roll_over_limit": 1}, "2030-04-28"),
        ({"roll_over": True, "roll_over_limit": 2, "validity": "P10D"}, "2030-03-10"),
        ({"roll_over": False}, "2030-03-28"),
        ({"roll_over": False, "validity": "P10D"}, "2030-03-10"),
        ({"roll_over": False, "frequency": IssuingFrequency.QUARTER}, "2030-03-28"),
        ({"roll_over": False, "frequency": IssuingFrequency.ONCE}, "2030-03-28"),
    ],
)
def test_expiry_is_the_earliest_limit(says: dict[str, Any], expires_at: str | None) -> None:
    """Validity after valid_from; without roll-over the first billing start after it and the end of the period; with a
    limit to it the end of the last period that it rolls over into."""
    life = Life(rules=[rule(version(issue_on_signup=False, **says))], billing_anchor=at("2030-02-28").date())
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    (decision,) = issued(life, "2030-02-28")
    assert decision.validities is not None
    assert decision.validities.expires_at == (None if expires_at is None else at(expires_at))


def test_a_monthly_rule_on_an_annual_membership_expires_with_its_own_period() -> None:
    """The end of the rule's period comes before the next billing."""
    monthly = version(frequency=IssuingFrequency.MONTH, roll_over=False)
    life = Life(rules=[rule(monthly)], billing_frequency="P1Y")
    life.charge(at("2030-01-31"), "succeeded", "c0", "2030-01-31")
    assert [d.validities and d.validities.expires_at for d in issued(life, "2030-02-28")] == [at("2030-03-31")]
    assert life.reasons(at("2030-02-28"))["2030-01-31"] is Reason.PERIOD_OVER


def test_valid_from_is_the_start_or_the_issue_if_later() -> None:
    """A sign-up before the start is valid from the start; a period that is paid late, from the payment's settling."""
    early = Life(signed_up_at=at("2030-01-10"))
    (decision,) = issued(early, "2030-01-10")
    assert decision.validities is not None
    assert decision.validities.valid_from == at("2030-01-31")
    (decision,) = issued(early, "2030-02-05T12:00")
    assert decision.validities is not None
    assert decision.validities.valid_from == at("2030-02-05T12:00")


def test_no_credit_is_issued_dead() -> None:
    """At the very instant the period ends, a credit that does not roll over is skipped, not issued."""
    life = Life(rules=[rule(version(roll_over=False))])
    life.charge(at("2030-01-31"), "succeeded", "c0", "2030-01-31")
    assert life.reasons(at("2030-02-27T23:59"))["2030-01-31"] is Reason.ISSUED
    assert life.reasons(at("2030-02-28"))["2030-01-31"] is Reason.PERIOD_OVER


def test_periods_are_dates_in_the_brands_zone() -> None:
    """On Kiritimati the period begins fourteen hours before it does in UTC."""
    life = Life(zone=ZoneInfo("Pacific/Kiritimati"), signed_up_at=at("2030-01-30T10:00"))
    life.charge(at("2030-02-01"), "succeeded", "c1", "2030-02-28")
    assert life.reasons(at("2030-02-27T09:59"), at("2030-02-28").date())["2030-02-28"] is Reason.NOT_DUE_YET
    assert life.reasons(at("2030-02-27T10:00"))["2030-02-28"] is Reason.ISSUED


def test_a_rule_without_its_coupon_says_so() -> None:
    """Failed, not silent: coupon_missing."""
    life = Life(rules=[rule(version(coupon=None))])
    assert life.reasons(at("2030-02-01")) == {"2030-01-31": Reason.COUPON_MISSING}


def test_a_manual_issue_gives_nothing_before_the_sign_up_has_happened() -> None:
    """A sign-up that is told ahead of the clock counts from its time on (SEMANTICS 7)."""
    life = Life(signed_up_at=at("2030-02-01"), starts_on=date(2030, 2, 1))
    for now, expected in (("2030-01-31T23:59", Reason.NOT_DUE_YET), ("2030-02-01", Reason.ISSUED)):
        told = [one.reason for one in issue_by_hand(life.history(at(now)), rule(version()), include_upcoming=True)]
        assert set(told) == {expected}

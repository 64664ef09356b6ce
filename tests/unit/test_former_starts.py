"""A start that is moved gives nothing twice, and takes no person's word back (SEMANTICS 7, The start is moved)."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from issuance.deciding.facts import CreditKey, Held, HeldState
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import change_of
from issuance.engine.manual_issues import ManualIssue
from issuance.engine.outcomes import outcome_of
from issuance.engine.tasks import Meant
from tests.unit.club import Life, at, changes_of, clock_at, rule, version

ONCE = IssuingFrequency.ONCE


def trial(**says: Any) -> Life:
    """A membership that was signed up on 18 December and starts on 15 January, with one rule."""
    life = Life([rule(version(**says))], date(2031, 1, 15), signed_up_at=at("2030-12-18"))
    life.settle(at("2030-12-18"))
    return life


def by_hand(life: Life, now: datetime) -> None:
    task = ManualIssue(life.rules[0].credit_rule_id, include_upcoming=True)
    life.take(task.decide(life.membership, Meant(), life.rules_at(now), clock_at(now)))


def start(life: Life, instant: str, starts_on: str) -> None:
    life.tell(at(instant), "membership.start_moved", starts_on=starts_on, billing_anchor=None)


def become(life: Life, **fields: Any) -> None:
    """Its one credit is used, or revoked."""
    (credit,) = life.credits
    life.credits = [replace(credit, **fields)]


def given(life: Life) -> list[tuple[str, str]]:
    """The key of each credit that facts have not taken back, and what became of it."""
    fates = [("used", "redeemed_at"), ("revoked", "revoked_at"), ("expired", "expired_at"), ("flagged", "flagged_at")]
    return sorted(
        (
            credit.key.period_start.isoformat(),
            next((fate for fate, name in fates if getattr(credit, name) is not None), "live"),
        )
        for credit in life.credits
        if credit.revoked_by != "facts"
    )


@pytest.mark.parametrize("says", [{"frequency": ONCE, "issue_on_signup": False}, {"frequency": ONCE}, {}])
def test_what_was_given_by_hand_stands_for_a_start_that_is_moved(says: dict[str, Any]) -> None:
    life = trial(issue_on_signup=False)
    life.rules = [rule(version(**{**says, "issue_on_signup": False}))]
    by_hand(life, at("2030-12-20"))
    life.rules = [rule(version(**says))]
    start(life, "2030-12-22", "2031-01-29")
    life.settle(at("2030-12-22"))
    if says:
        life.charge(at("2031-02-28"), "succeeded", "c", "2031-02-28")
        life.settle(at("2031-02-28"))
    assert given(life) == [("2031-01-15", "live")]


@pytest.mark.parametrize("uses", [0, 1], ids=["of one use", "with uses left"])
def test_a_p0d_credit_that_was_used_is_the_one_there_ever_is(uses: int) -> None:
    """Also where the start had been moved before, and that comes late."""
    life = trial(frequency=ONCE, multi_use=uses > 0)
    life.settle(at("2031-01-15"))
    become(life, **({"uses": uses} if uses else {"redeemed_at": at("2031-01-16")}))
    start(life, "2031-01-10", "2031-01-29")
    life.settle(at("2031-01-20"))
    life.settle(at("2031-01-29"))
    assert given(life) == [("2031-01-15", "live" if uses else "used")]


def test_of_a_period_there_is_another_credit_where_the_start_is_another() -> None:
    """A credit of a period that is none any more was used for nothing: it is flagged, and the period gives its own."""
    life = trial()
    life.settle(at("2031-01-15"))
    become(life, redeemed_at=at("2031-01-16"))
    start(life, "2031-01-10", "2031-01-29")
    life.settle(at("2031-01-29"))
    assert [credit.flagged_at is not None for credit in life.credits] == [True, False]
    assert given(life) == [("2031-01-15", "used"), ("2031-01-29", "live")]


@pytest.mark.parametrize("says", [{"frequency": ONCE}, {}])
@pytest.mark.parametrize("revoked_by", ["operator", "archiving"])
def test_a_no_stays_a_no(says: dict[str, Any], revoked_by: str) -> None:
    life = trial(**says)
    become(life, revoked_at=at("2030-12-19"), revoked_by=revoked_by)
    start(life, "2030-12-22", "2031-01-16")
    life.settle(at("2030-12-22"))
    life.settle(at("2031-01-16"))
    assert given(life) == [("2031-01-15", "revoked")]


def test_what_a_person_reinstates_is_given_for_the_new_start() -> None:
    life = trial()
    become(life, revoked_at=at("2030-12-19"), revoked_by="operator")
    start(life, "2030-12-22", "2031-01-16")
    life.settle(at("2030-12-22"))
    become(life, revoked_at=None, revoked_by=None)
    life.settle(at("2031-01-16"))
    assert given(life) == [("2031-01-16", "live")]


def test_what_was_refused_of_a_former_start_is_refused() -> None:
    life = Life([rule()], date(2031, 1, 15), signed_up_at=at("2030-12-18"))
    start(life, "2030-12-22", "2031-01-16")
    membership = life.membership
    key = CreditKey(life.rules[0].credit_rule_id, 0, date(2031, 1, 15), 0)
    membership.facts = replace(membership.facts, held=(Held(key, at("2030-12-18"), HeldState.REFUSED),))
    outcome = outcome_of(membership, life.rules, clock_at(at("2030-12-22")))
    assert outcome.counts == {Reason.REFUSED: 1}


def test_a_start_that_is_moved_back_gives_its_own_credit_again() -> None:
    """Unless the one of the other start was used meanwhile, of a P0D rule."""
    life = trial(frequency=ONCE)
    start(life, "2030-12-22", "2031-01-10")
    life.settle(at("2031-01-10"))
    first, second = life.credits
    life.credits = [first, replace(second, redeemed_at=at("2031-01-11"))]
    start(life, "2031-01-09", "2031-01-15")
    life.settle(at("2031-01-15"))
    assert given(life) == [("2031-01-10", "used")]


def test_a_former_start_on_which_a_period_begins_is_that_periods() -> None:
    """A trial is cut short by a month: what was given by hand has the key of the second period, which gives no more."""
    life = trial(issue_on_signup=True)
    life.credits = []
    by_hand(life, at("2030-12-20"))
    (credit,) = life.credits
    life.credits = [replace(credit, manual=True)]
    start(life, "2030-12-22", "2030-12-25")
    life.move(at("2030-12-26"), "2031-01-15")
    life.settle(at("2030-12-26"))
    life.charge(at("2031-01-15"), "succeeded", "c", "2031-01-15")
    life.settle(at("2031-01-15"))
    assert given(life) == [("2030-12-25", "live"), ("2031-01-15", "live")]


def settle_beside(life: Life, held: tuple[Held, ...], now: datetime) -> tuple[Held, ...]:
    """Settle beside what a guard holds: what it holds then."""
    membership = life.membership
    membership.facts = replace(membership.facts, held=held)
    outcome = outcome_of(membership, life.rules, clock_at(now))
    life.take(outcome)
    return outcome.held_after(held)


def as_said(held: tuple[Held, ...], state: HeldState) -> tuple[Held, ...]:
    """A person speaks of all that waits; what was refused by hand is as if it had not been asked for."""
    said = [replace(one, state=state) if one.state is HeldState.WAITING else one for one in held]
    return tuple(one for one in said if one.state is not HeldState.LAPSED)


@pytest.mark.parametrize("says", [{"frequency": ONCE, "issue_on_signup": False}, {}])
@pytest.mark.parametrize("said", [HeldState.APPROVED, HeldState.REFUSED])
def test_what_waits_by_hand_for_a_former_start_is_one_with_what_is_owed_for_the_new_one(
    says: dict[str, Any], said: HeldState
) -> None:
    """One credit waits, and what a person says of it is said of both: approved there is one, refused there is none."""
    life = trial(issue_on_signup=False)
    life.rules = [rule(version(**says))]
    key = CreditKey(life.rules[0].credit_rule_id, 0, date(2031, 1, 15), 0)
    start(life, "2030-12-22", "2031-01-29")
    life.charge(at("2031-02-28"), "succeeded", "c", "2031-02-28")
    asked = (Held(key, at("2030-12-20"), HeldState.WAITING, manual=True),)
    held = settle_beside(life, asked, at("2031-02-28"))
    assert [(one.key.period_start, one.manual) for one in held if one.state is HeldState.WAITING] == [
        (date(2031, 1, 29), False)
    ]
    held = settle_beside(life, as_said(held, said), at("2031-03-01"))
    settle_beside(life, held, at("2031-03-02"))
    of_starts = [one for one in given(life) if one[0] in ("2031-01-15", "2031-01-29")]
    assert of_starts == ([("2031-01-29", "live")] if said is HeldState.APPROVED else [])


@pytest.mark.parametrize("says", [{"frequency": ONCE, "issue_on_signup": False}, {}])
def test_what_was_approved_by_hand_for_a_former_start_as_it_came_to_be_owed_is_given_once(says: dict[str, Any]) -> None:
    """No guard is asked about it: a person let it out."""
    life = trial(issue_on_signup=False)
    life.rules = [rule(version(**says))]
    key = CreditKey(life.rules[0].credit_rule_id, 0, date(2031, 1, 15), 0)
    start(life, "2030-12-22", "2031-01-29")
    life.charge(at("2031-02-28"), "succeeded", "c", "2031-02-28")
    membership = life.membership
    approved = (Held(key, at("2030-12-20"), HeldState.APPROVED, manual=True),)
    membership.facts = replace(membership.facts, held=approved)
    outcome = outcome_of(membership, life.rules, clock_at(at("2031-02-28")))
    own = key._replace(period_start=date(2031, 1, 29))
    assert {one for one in outcome.issued if one.period_start != date(2031, 2, 28)} == {own}
    assert (own in outcome.let_out, outcome.held_after(approved)) == (True, ())


def test_of_two_that_were_asked_for_by_hand_for_one_start_the_first_is_let_out() -> None:
    """The start was moved between them. Had nothing been held, the second would have found the first."""
    life = trial(frequency=ONCE, issue_on_signup=False)
    key = CreditKey(life.rules[0].credit_rule_id, 0, date(2031, 1, 15), 0)
    start(life, "2030-12-22", "2031-01-29")
    held = (
        Held(key, at("2030-12-20"), HeldState.APPROVED, manual=True),
        Held(key._replace(period_start=date(2031, 1, 29)), at("2030-12-23"), HeldState.APPROVED, manual=True),
    )
    settle_beside(life, held, at("2030-12-24"))
    assert given(life) == [("2031-01-15", "live")]


def lasts(life: Life) -> list[str]:
    """How long each credit is good, as dates, of those that are out."""
    return [
        f"{credit.valid_from:%m-%d}..{credit.expires_at:%m-%d}"
        for credit in life.credits
        if credit.revoked_at is None and credit.expires_at is not None
    ]


@pytest.mark.parametrize("frequency", [ONCE, IssuingFrequency.BILLING_CYCLE, IssuingFrequency.MONTH])
@pytest.mark.parametrize(
    ("given_on", "told_on", "happened_on", "starts_on", "is_good"),
    [
        ("2030-12-20", "2030-12-22", "2030-12-22", "2031-01-29", "01-29..02-28"),  # extended
        ("2030-12-20", "2030-12-22", "2030-12-22", "2030-12-28", "12-28..01-28"),  # cut short
        ("2030-12-20", "2031-01-12", "2030-12-21", "2030-12-25", "12-25..01-25"),  # told late
        ("2031-01-20", "2031-01-20T12:00", "2031-01-10", "2031-01-18", "01-20..02-18"),  # it was out
        ("2031-01-20", "2031-01-20T12:00", "2031-01-10", "2030-12-21", "01-20..01-21"),  # by more than a period
    ],
)
def test_what_was_given_by_hand_is_good_as_long_as_if_the_sign_up_had_said_so(
    frequency: IssuingFrequency, given_on: str, told_on: str, happened_on: str, starts_on: str, is_good: str
) -> None:
    life = trial(issue_on_signup=False, roll_over=False, frequency=frequency)
    life.settle(at(given_on))
    by_hand(life, at(given_on))
    start(life, happened_on, starts_on)
    life.settle(at(told_on))
    assert lasts(life) == [is_good]
    assert changes_of(life.settle(at(told_on))) == []


def test_a_limit_of_periods_counts_them_from_the_start_as_it_is_now() -> None:
    """And the coupon's validity from then."""
    for says, is_good in (({"roll_over_limit": 1}, "01-29..03-29"), ({"validity": "P10D"}, "01-29..02-08")):
        life = trial(issue_on_signup=False, **says)
        by_hand(life, at("2030-12-20"))
        start(life, "2030-12-22", "2031-01-29")
        life.settle(at("2030-12-22"))
        assert lasts(life) == [is_good]


def test_a_start_that_is_moved_and_back_leaves_what_was_given_by_hand_as_it_was() -> None:
    life = trial(issue_on_signup=False, roll_over=False, validity="P20D")
    by_hand(life, at("2030-12-20"))
    before = list(life.credits)
    for on, starts_on in (("2030-12-22", "2031-01-29"), ("2030-12-23", "2030-12-28"), ("2030-12-24", "2031-01-15")):
        start(life, on, starts_on)
        life.settle(at(on))
    assert life.credits == before


def test_a_gift_with_uses_left_goes_on_over_the_start_as_it_is_now() -> None:
    """It is told on the 20th that on the 10th the start was moved to the 29th; one use was on the 16th."""
    life = trial(frequency=ONCE, roll_over=False, multi_use=True, max_uses=5)
    life.settle(at("2031-01-15"))
    become(life, uses=1)
    start(life, "2031-01-10", "2031-01-29")
    life.settle(at("2031-01-20"))
    assert lasts(life) == ["01-15..02-28"]
    life.settle(at("2031-01-29"))
    assert given(life) == [("2031-01-15", "live")]


def test_what_was_approved_by_hand_for_a_former_start_is_of_the_start_as_it_is_now() -> None:
    life = trial(issue_on_signup=False, roll_over=False)
    key = CreditKey(life.rules[0].credit_rule_id, 0, date(2031, 1, 15), 0)
    start(life, "2030-12-22", "2031-01-29")
    settle_beside(life, (Held(key, at("2030-12-20"), HeldState.APPROVED, manual=True),), at("2031-01-30"))
    assert (given(life), lasts(life)) == ([("2031-01-15", "live")], ["01-29..02-28"])
    (credit,) = life.credits
    assert credit.period_end == date(2031, 2, 28)


@pytest.mark.parametrize("says", [{"frequency": ONCE}, {}])
def test_what_a_person_makes_final_of_a_former_start_takes_nothing_of_what_is_out_for_the_new_one(
    says: dict[str, Any],
) -> None:
    """Its charge fails and succeeds: the same credit is live again."""
    life = trial(**says)
    start(life, "2030-12-22", "2031-01-29")
    life.settle(at("2030-12-22"))
    life.credits = [replace(one, revoked_by=one.revoked_by and "operator") for one in life.credits]
    life.charge(at("2031-01-29"), "failed", "c", "2031-01-29")
    life.settle(at("2031-01-29T05:00"))
    assert given(life) == [("2031-01-15", "revoked")]
    life.charge(at("2031-01-30"), "succeeded", "c", "2031-01-29")
    life.settle(at("2031-01-30"))
    assert given(life) == [("2031-01-15", "revoked"), ("2031-01-29", "live")]


def test_what_a_person_took_while_the_start_was_that_one_stays_taken_when_it_is_moved_again() -> None:
    life = trial()
    for on, starts_on in (("2030-12-20", "2031-01-29"), ("2030-12-21", "2031-01-15")):
        start(life, on, starts_on)
        life.settle(at(on))
    gone = {"revoked_at": at("2030-12-22"), "revoked_by": "operator"}
    life.credits = [one if one.revoked_by else replace(one, **gone) for one in life.credits]  # type: ignore[arg-type]
    start(life, "2030-12-23", "2031-01-29")
    life.settle(at("2030-12-23"))
    assert given(life) == [("2031-01-15", "revoked")]


@pytest.mark.parametrize("frequency", [ONCE, IssuingFrequency.BILLING_CYCLE])
@pytest.mark.parametrize(
    ("happened_on", "starts_on", "is_good"),
    [
        ("2030-12-22", "2031-01-16", "01-16..03-31"),
        ("2030-12-22", "2030-12-28", "12-28..03-31"),
        ("2030-12-22", "2031-03-10", "03-10..04-10"),  # the period is longer than what the person said
    ],
    ids=["extended trial", "cut short", "by months"],
)
def test_what_a_person_extended_stays_so_for_the_new_start(
    frequency: IssuingFrequency, happened_on: str, starts_on: str, is_good: str
) -> None:
    """SEMANTICS 15: neither facts nor a moved date shorten it, and its rule gives nothing twice."""
    life = trial(roll_over=False, frequency=frequency)
    become(life, expires_at=at("2031-03-31"), extended_to=at("2031-03-31"), extended_at=at("2030-12-21"))
    start(life, happened_on, starts_on)
    life.settle(at(happened_on))
    assert (given(life), lasts(life)) == ([("2031-01-15", "live")], [is_good])
    assert changes_of(life.settle(at(happened_on))) == []
    life.charge(at(starts_on), "failed", "c", starts_on)
    life.settle(at(starts_on))
    assert given(life) == []


def moved_trial(**says: Any) -> Life:
    """A membership that was signed up on 2 January, and whose start was moved from the 10th to the 20th at once."""
    life = Life([rule(version(**says))], date(2031, 1, 10), signed_up_at=at("2031-01-02"))
    start(life, "2031-01-05", "2031-01-20")
    return life


def test_what_was_extended_and_rides_on_a_later_period_goes_over_though_the_start_was_moved() -> None:
    """It never was for the start: it is valid from the period that it rides on, and as long as one of that."""
    life = moved_trial(frequency=ONCE, issue_on_signup=False, roll_over=False, validity="P10D")
    life.charge(at("2031-02-20"), "succeeded", "c1", "2031-02-20")
    life.settle(at("2031-02-20"))
    become(life, expires_at=at("2031-03-10"), extended_to=at("2031-03-10"), extended_at=at("2031-02-25"))
    life.charge(at("2031-03-05"), "refunded", "c1", "2031-02-20")
    life.settle(at("2031-03-05"))
    life.charge(at("2031-03-20"), "succeeded", "c2", "2031-03-20")
    life.settle(at("2031-03-20"))
    assert (given(life), lasts(life)) == ([("2031-01-20", "live")], ["03-20..03-30"])
    assert changes_of(life.settle(at("2031-03-20"))) == []


def test_what_was_extended_of_a_rule_that_was_made_later_counts_from_the_start() -> None:
    """As if it had been issued then (SEMANTICS 6), and not before what the person said."""
    life = moved_trial(validity="P1Y")
    life.rules = [replace(life.rules[0], made_at=at("2031-06-01"))]
    life.settle(at("2031-06-01"))
    assert lasts(life) == ["06-01..01-20"]
    (credit,) = life.credits
    until = at("2032-02-01")
    longer = replace(credit, expires_at=until, extended_to=until, extended_at=at("2031-06-02"))
    change = change_of(life.membership.facts, life.credits, longer, life.rules, at("2031-06-02"))
    assert change.after.expires_at == until

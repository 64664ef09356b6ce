"""A P0D credit that goes over to a later billing period is valid from then, and as long as one of that period
(SEMANTICS 3)."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from issuance.deciding.facts import Rule
from issuance.deciding.forecast import forecast
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.reasons import Reason
from issuance.engine.replays import Replay, Span
from issuance.engine.tasks import Meant
from tests.unit.club import Life, at, clock_at, rule, version

JANUARY, FEBRUARY = "2031-01-01", "2031-02-01"


def gift(**says: Any) -> Life:
    """A membership that starts in December and is billed from January on, with a P0D rule for billing periods."""
    said: dict[str, Any] = {"issue_on_signup": False, "frequency": IssuingFrequency.ONCE, "roll_over": False, **says}
    return Life([rule(version(**said))], date(2030, 12, 15), billing_anchor=date(2031, 1, 1))


def with_its_gift(**says: Any) -> Life:
    """The same, to whom it was given for January, when that was charged."""
    life = gift(**says)
    life.charge(at(JANUARY), "initiated", "jan", JANUARY)
    life.settle(at(JANUARY))
    return life


def shown(life: Life) -> tuple[str, str | None, str]:
    """From when to when the one credit is valid, and what became of it."""
    (credit,) = life.credits
    fate = "revoked" if credit.revoked_at else "expired" if credit.expired_at else "out"
    ends = None if credit.expires_at is None else f"{credit.expires_at:%m-%d %H}"
    return f"{credit.valid_from:%m-%d %H}", ends, fate


ENDS = [({}, "03-01 00"), ({"validity": "P30D"}, "03-01 00"), ({"roll_over": True, "validity": "P30D"}, "03-03 10")]


@pytest.mark.parametrize(("says", "ends"), ENDS)
@pytest.mark.parametrize("together", [False, True], ids=["in turn", "all together"])
def test_whose_first_charge_failed_has_the_gift_with_the_next(says: dict[str, Any], ends: str, together: bool) -> None:
    """The gift of who was never charged for January is February's."""
    life = gift(**says)
    life.charge(at(JANUARY), "initiated", "jan", JANUARY)
    if not together:
        life.settle(at(JANUARY))
    life.charge(at("2031-01-20"), "failed", "jan", JANUARY)
    life.charge(at("2031-01-21"), "skipped", "jan", JANUARY)
    if not together:
        life.settle(at("2031-01-21"))
    life.charge(at("2031-02-01T10:00"), "succeeded", "feb", FEBRUARY)
    life.settle(at("2031-02-01T10:00"))
    assert shown(life) == ("02-01 10", ends, "out")
    assert life.settle(at("2031-02-01T10:00"))[-1].changed == {}
    life.settle(at("2031-03-10"))
    assert shown(life) == ("02-01 10", ends, "expired")


def test_what_is_out_when_the_failure_is_known_goes_over_too() -> None:
    life = with_its_gift(roll_over=True, validity="P45D")
    life.charge(at("2031-01-20"), "failed", "jan", JANUARY)
    life.charge(at("2031-01-21"), "skipped", "jan", JANUARY)
    life.charge(at("2031-02-01T10:00"), "succeeded", "feb", FEBRUARY)
    life.settle(at("2031-02-01T10:00"))
    assert shown(life) == ("02-01 10", "03-18 10", "out")


def test_who_is_charged_before_the_period_has_it_from_the_start_of_that_on() -> None:
    life = with_its_gift()
    life.charge(at("2031-01-04"), "failed", "jan", JANUARY)
    life.charge(at("2031-01-05"), "skipped", "jan", JANUARY)
    life.charge(at("2031-01-20"), "succeeded", "feb", FEBRUARY)
    life.settle(at("2031-01-20"))
    life.settle(at(FEBRUARY))
    assert shown(life) == ("02-01 00", "03-01 00", "out")


def test_what_is_paid_after_all_is_as_it_was() -> None:
    """With its original expiry: it rides on the period that it was of."""
    life = with_its_gift()
    life.charge(at("2031-01-04"), "failed", "jan", JANUARY)
    life.settle(at("2031-01-04"))
    life.charge(at("2031-01-10"), "succeeded", "jan", JANUARY)
    life.settle(at("2031-01-10"))
    assert shown(life) == ("01-01 00", "02-01 00", "out")


def test_what_was_not_used_in_its_own_period_has_expired() -> None:
    """It is not given once more where the period is given back later."""
    life = gift()
    life.charge(at(JANUARY), "succeeded", "jan", JANUARY)
    life.settle(at(JANUARY))
    life.charge(at(FEBRUARY), "succeeded", "feb", FEBRUARY)
    life.settle(at(FEBRUARY))
    life.charge(at("2031-02-10"), "refunded", "jan", JANUARY)
    life.settle(at("2031-02-10"))
    assert shown(life) == ("01-01 00", "02-01 00", "expired")


@pytest.mark.parametrize(
    ("taken_back", "told", "is_now"),
    [
        ("2031-01-20", "2031-02-10", ("02-10 00", "03-01 00", "out")),
        ("2031-01-31T23:59:59", "2031-02-10", ("02-10 00", "03-01 00", "out")),
        (FEBRUARY, "2031-02-10", ("01-01 00", "02-01 00", "expired")),
        ("2031-01-20", "2031-03-10", ("03-10 00", "04-01 00", "out")),
    ],
    ids=["in its time", "just in its time", "as it ended", "told later still"],
)
def test_what_was_taken_back_before_its_end_goes_over_though_that_is_told_later(
    taken_back: str, told: str, is_now: tuple[str, str, str]
) -> None:
    """SEMANTICS 8: it is owed as if the facts had come in order."""
    life = gift()
    life.charge(at(JANUARY), "succeeded", "jan", JANUARY)
    life.settle(at(JANUARY))
    life.charge(at(FEBRUARY), "succeeded", "feb", FEBRUARY)
    life.settle(at(FEBRUARY))
    assert shown(life) == ("01-01 00", "02-01 00", "expired")
    life.charge(at(taken_back), "refunded", "jan", JANUARY)
    life.settle(at(told))
    assert shown(life) == is_now
    assert life.settle(at(told))[-1].changed == {}


@pytest.mark.parametrize("was", ["paused", "ended", "for another period"])
@pytest.mark.parametrize("told", ["2031-01-20", "2031-02-10"], ids=["in time", "late"])
def test_whose_own_period_gives_nothing_after_all_has_the_gift_with_the_next(was: str, told: str) -> None:
    """Nothing released that period, by the facts as they are now: it is as if they had come in order (SEMANTICS 8)."""

    def tell() -> None:
        if was == "for another period":
            life.charge(at("2031-01-10"), "succeeded", "jan", "2030-12-15")
        else:
            life.status(at("2030-12-20"), "paused" if was == "paused" else "cancelled")
            life.status(at("2031-01-15"), "active")
        life.settle(at(told))

    life = gift()
    life.charge(at(JANUARY), "succeeded", "jan", JANUARY)
    life.settle(at(JANUARY))
    if told < FEBRUARY:
        tell()
    life.charge(at(FEBRUARY), "succeeded", "feb", FEBRUARY)
    life.settle(at(FEBRUARY))
    if told > FEBRUARY:
        tell()
    valid_from = max(told, FEBRUARY)[5:]
    assert shown(life) == (f"{valid_from} 00", "03-01 00", "out")
    assert life.settle(at(max(told, FEBRUARY)))[-1].changed == {}


@pytest.mark.parametrize(
    "fields",
    [{"manual": True}, {"uses": 1, "multi_use": True}, {"revoked_by": "operator"}],
    ids=["given", "used", "no"],
)
def test_what_a_person_gave_used_or_revoked_keeps_its_dates(fields: dict[str, Any]) -> None:
    life = with_its_gift()
    life.charge(at("2031-01-04"), "skipped", "jan", JANUARY)
    life.settle(at("2031-01-04"))
    life.credits = [replace(credit, **fields) for credit in life.credits]
    life.charge(at(FEBRUARY), "succeeded", "feb", FEBRUARY)
    life.settle(at(FEBRUARY))
    assert shown(life)[:2] == ("01-01 00", "02-01 00")


@pytest.mark.parametrize("now", ["P7D", "P1M", None])
def test_by_a_validity_that_the_coupon_has_no_more_it_is_as_long_as_it_was(now: str | None) -> None:
    life = with_its_gift(roll_over=True, validity="P20D")
    life.charge(at("2031-01-04"), "skipped", "jan", JANUARY)
    life.settle(at("2031-01-04"))
    life.rules = edited(now, issue_on_signup=False)
    life.charge(at(FEBRUARY), "succeeded", "feb", FEBRUARY)
    life.settle(at(FEBRUARY))
    assert shown(life) == ("02-01 00", "02-21 00", "out")


def edited(validity: str | None, **says: Any) -> list[Rule]:
    """A P0D rule that rolls over, whose coupon was saved again with a validity."""
    one = version(frequency=IssuingFrequency.ONCE, validity=validity, **says)
    assert one.coupon is not None, "it has one"
    return [rule(replace(one, coupon=replace(one.coupon, edited=True)))]


@pytest.mark.parametrize(
    ("signed_up", "starts_on", "was", "is_now", "settled"),
    [
        ("2031-01-05T09:13:05", date(2030, 7, 1), "P1Y", "P6M", "2031-02-01"),
        ("2030-12-20", date(2031, 1, 1), "P2M", "P1M", "2031-02-01"),
        ("2030-12-20", date(2031, 1, 1), "P1Y", "P6M", "2031-06-01"),
    ],
    ids=["an import's", "and over", "and not over"],
)
def test_saving_its_coupon_again_rewrites_no_credit_that_is_out(
    signed_up: str, starts_on: date, was: str, is_now: str, settled: str
) -> None:
    """SEMANTICS 6, also where the new validity, counted from another period's start, comes to the old end."""
    once = IssuingFrequency.ONCE
    life = Life([rule(version(frequency=once, validity=was))], starts_on, signed_up_at=at(signed_up), automatic=True)
    life.settle(at(signed_up))
    (given,) = life.credits
    life.rules = edited(is_now)
    life.settle(at(settled))
    (credit,) = life.credits
    assert (credit.valid_from, credit.expires_at, credit.revoked_at) == (given.valid_from, given.expires_at, None)
    assert credit.expired_at is None


def test_what_has_expired_does_not_live_again_by_a_longer_validity() -> None:
    once = IssuingFrequency.ONCE
    rules = [rule(version(frequency=once, validity="P1M", issue_on_signup=False))]
    life = Life(rules, date(2030, 12, 1), signed_up_at=at("2030-11-20"), automatic=True)
    life.settle(at(JANUARY))
    life.settle(at(FEBRUARY))
    assert shown(life) == ("01-01 00", "02-01 00", "expired")
    life.rules = edited("P2M", issue_on_signup=False)
    life.settle(at("2031-02-05"))
    assert shown(life) == ("01-01 00", "02-01 00", "expired")


def test_a_forecast_counts_it_from_the_period_that_it_will_ride_on() -> None:
    life = with_its_gift()
    life.charge(at("2031-01-04"), "failed", "jan", JANUARY)
    life.charge(at("2031-01-05"), "skipped", "jan", JANUARY)
    life.settle(at("2031-01-05"))
    (given,) = forecast(life.membership.facts, life.credits, life.rules, at("2031-01-05"), date(2031, 2, 20))
    assert (given.day, given.credit.valid_from) == (date(2031, 2, 1), at(FEBRUARY))
    assert given.credit.expires_at == at("2031-03-01")


def became_a_gift(**says: Any) -> Life:
    """A rule that gave on sign-up became P0D ten days later; the next charge is told too."""
    later = version(2, at("2031-01-20"), include_upcoming=True, issue_on_signup=False, frequency=IssuingFrequency.ONCE)
    life = Life([rule(version(1, **says), later)], date(2031, 1, 10), signed_up_at=at("2031-01-10T10:00"))
    life.charge(at("2031-02-10"), "succeeded", "feb", "2031-02-10")
    return life


@pytest.mark.parametrize("together", [False, True], ids=["in turn", "all together"])
def test_the_sign_up_and_a_gift_with_one_key_are_one_credit_the_sign_ups(together: bool) -> None:
    """Also after an outage: they are settled at once, and counted once."""
    life = became_a_gift()
    now = at("2031-02-12")
    if not together:
        life.settle(at("2031-01-10T10:00"))
    (outcome,) = life.settle(now)
    assert outcome.counts[Reason.ISSUED] == (1 if together else 0)
    assert [(one.rule_version, one.period_end) for one in life.credits] == [(1, date(2031, 2, 10))]


def test_a_forecast_says_the_sign_ups_credit_too() -> None:
    life = became_a_gift()
    membership, now = life.membership, at("2031-02-12")
    (foretold,) = forecast(membership.facts, [], life.rules, now, date(2031, 2, 12))
    assert (foretold.day, foretold.credit.rule_version) == (date(2031, 1, 10), 1)


def replayed(life: Life, **promise: Any) -> list[tuple[int, Reason]]:
    """What a replay gives by version, or an approval of a plan that promises one credit; and what it counts."""
    membership, now = life.membership, at("2031-02-12")
    promised: Any = {membership.membership_id: [SimpleNamespace(**promise)]} if promise else None
    task = Replay(Span(None, None, date.min, date.max), promised)
    meant = task.meant(membership, now)
    outcome = task.decide(membership, meant, life.rules_at(now), clock_at(now))
    assert isinstance(meant, Meant)
    assert outcome.counts[Reason.ISSUED] == len(outcome.issued)
    return [(version.version, reason) for version in outcome.issued.values() for reason in outcome.counts]


def test_a_replay_gives_and_counts_the_sign_ups_credit_alone() -> None:
    assert replayed(became_a_gift()) == [(1, Reason.ISSUED)]


def test_an_approved_plan_gives_the_gift_whose_key_a_dead_sign_up_left_free() -> None:
    life = became_a_gift(roll_over=False)
    said = {"rule_id": life.rules[0].credit_rule_id, "guest_id": life.everybody[0], "version": 2}
    assert replayed(life, **said, period_start=date(2031, 1, 10)) == [(2, Reason.ISSUED)]

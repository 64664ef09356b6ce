"""A used credit is flagged where what it was for gives nothing any more, and nowhere else (SEMANTICS 7)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from issuance.deciding.frequency import IssuingFrequency
from tests.unit.club import ADA, BEN, SILVER, Life, at, party, rule, version

FEBRUARY = "2031-02-01"


def used(guests: tuple[Any, ...] = (ADA,), **says: Any) -> Life:
    """A membership with a rule of gold and one of silver, whose credits of February have been used, if only once."""
    said = {"issue_on_signup": False, "frequency": IssuingFrequency.BILLING_CYCLE, **says}
    rules = [rule(version(**said), number=1), rule(version(**{**said, "membership_type_id": SILVER}), number=2)]
    life = Life(rules, date(2031, 1, 1), guests=guests)
    life.charge(at(FEBRUARY), "succeeded", "feb", FEBRUARY)
    life.settle(at(FEBRUARY))
    is_used = None if said.get("multi_use") else at("2031-02-03")
    life.credits = [replace(credit, redeemed_at=is_used, uses=1) for credit in life.credits]
    return life


def flagged(life: Life, now: str) -> list[bool]:
    """Settle; which of the credits that were used are flagged, by their guests' places."""
    life.settle(at(now))
    life.settle(at(now))
    credits = sorted((one for one in life.credits if one.uses), key=lambda one: one.key.place)
    return [one.flagged_at is not None for one in credits]


@pytest.mark.parametrize("multi_use", [False, True], ids=["used up", "with uses left"])
def test_who_leaves_the_order_has_used_what_was_theirs(multi_use: bool) -> None:
    """Also what they come back to. What was not paid after all was used for nothing, whoever has left."""
    life = used((ADA, BEN), multi_use=multi_use)
    life.tell(at("2031-06-10"), "membership.guests_changed", **party(ADA))
    assert flagged(life, "2031-06-10") == [False, False]
    life.tell(at("2031-06-11"), "membership.guests_changed", **party(ADA, BEN))
    assert flagged(life, "2031-06-11") == [False, False]
    life.charge(at("2031-06-12"), "refunded", "feb", FEBRUARY)
    assert flagged(life, "2031-06-12") == [True, True]
    life.charge(at("2031-06-13"), "succeeded", "feb", FEBRUARY)
    assert flagged(life, "2031-06-13") == [False, False]


def test_what_was_given_by_hand_is_never_flagged() -> None:
    """No charge touches it."""
    life = used((ADA, BEN))
    life.credits = [replace(credit, manual=True) for credit in life.credits]
    life.charge(at("2031-02-10"), "refunded", "feb", FEBRUARY)
    life.tell(at("2031-02-11"), "membership.guests_changed", **party(ADA))
    assert flagged(life, "2031-02-11") == [False, False]


@pytest.mark.parametrize("frequency", [IssuingFrequency.BILLING_CYCLE, IssuingFrequency.ONCE])
@pytest.mark.parametrize("current_period", ["keep", "switch"])
@pytest.mark.parametrize(
    ("after", "is_flagged"), [([], False), (["refunded"], True), (["disputed", "succeeded"], False)], ids=str
)
@pytest.mark.parametrize("first", ["the type", "the charge"])
def test_a_change_of_type_neither_flags_nor_hides(
    frequency: IssuingFrequency, current_period: str, after: Sequence[str], is_flagged: bool, first: str
) -> None:
    """Whichever is told first."""
    life = used(frequency=frequency)
    assert flagged(life, "2031-02-03") == [False]
    changed_at, days = ("2031-02-10", (11, 12)) if first == "the type" else ("2031-02-11", (10, 12))
    told = [(changed_at, None), *((f"2031-02-{day}", state) for day, state in zip(days, after, strict=False))]
    for day, state in sorted(told, key=lambda one: one[0]):
        if state is None:
            life.change_type(at(day), SILVER, current_period)
        else:
            life.charge(at(day), state, "feb", FEBRUARY)
        life.settle(at(day))
    life.charge(at("2031-03-01"), "succeeded", "mar", "2031-03-01")
    assert flagged(life, "2031-03-01") == [is_flagged]


def test_coming_back_to_a_type_flags_nothing_that_was_used_under_the_other() -> None:
    """One with uses left is revoked by the first change; what its guest used under the other type keeps it so."""
    life = used(multi_use=True)
    life.change_type(at("2031-02-10"), SILVER, "switch")
    life.settle(at("2031-02-10"))
    life.credits = [replace(one, uses=1) for one in life.credits]
    life.change_type(at("2031-02-12"), life.rules[0].latest.membership_type_id, "switch")
    assert not any(flagged(life, "2031-02-12"))


@pytest.mark.parametrize(
    ("after", "is_flagged"), [((), False), (("refunded",), True), (("disputed", "succeeded"), False)]
)
def test_what_was_issued_late_was_for_its_own_period(after: Sequence[str], is_flagged: bool) -> None:
    """A P0D credit of February that is given in March, when the membership is of another type."""
    once = version(issue_on_signup=False, frequency=IssuingFrequency.ONCE)
    life = Life([rule(once)], date(2031, 1, 1))
    life.change_type(at("2031-02-20"), SILVER, "keep")
    life.charge(at(FEBRUARY), "succeeded", "feb", FEBRUARY)
    life.settle(at("2031-03-03"))
    life.credits = [replace(credit, redeemed_at=at("2031-03-04"), uses=1) for credit in life.credits]
    for day, state in zip((10, 11), after, strict=False):
        life.charge(at(f"2031-03-{day}"), state, "feb", FEBRUARY)
    assert flagged(life, "2031-03-11") == [is_flagged]

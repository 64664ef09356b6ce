"""Where a membership stands at any instant, by its facts (SEMANTICS 7)."""

from datetime import date
from itertools import permutations

import pytest

from issuance.deciding.settlement import status_of
from issuance.deciding.statuses import Status
from tests.unit.club import Life, at

S = Status


def stands(life: Life, *days: str) -> list[Status]:
    """The status at each of these instants, known what is known in the end."""
    history = life.history(at("2039-01-01"))
    return [history.standing.at(at(day)) for day in days]


def test_upcoming_lasts_until_the_first_charge_is_initiated() -> None:
    """A membership is upcoming from its sign-up to its first charge, to the instant."""
    life = Life()
    life.charge(at("2030-02-28T10:00"), "initiated", "c1", "2030-02-28")
    assert stands(life, "2030-02-28T09:59:59", "2030-02-28T10:00") == [S.UPCOMING, S.ACTIVE]


@pytest.mark.parametrize("state", ["skipped", "refunded"])
def test_a_charge_that_was_never_taken_activates_nobody(state: str) -> None:
    """Waived and refunded charges don't touch the status."""
    life = Life()
    life.charge(at("2030-02-28"), state, "c1", "2030-02-28")
    assert stands(life, "2030-03-01") == [S.UPCOMING]


@pytest.mark.parametrize("trouble", ["failed", "disputed"])
def test_trouble_needs_attention_until_that_very_charge_succeeded(trouble: str) -> None:
    """Back when the charge has succeeded; not on a retry's initiated, nor on another month's payment."""
    life = Life()
    life.charge(at("2030-02-28"), "initiated", "c1", "2030-02-28")
    life.charge(at("2030-03-02"), trouble, "c1", "2030-02-28")
    life.charge(at("2030-03-03"), "initiated", "c1", "2030-02-28")
    life.charge(at("2030-03-31"), "succeeded", "c2", "2030-03-31")
    life.charge(at("2030-04-02"), "succeeded", "c1", "2030-02-28")
    seen = stands(life, "2030-03-01", "2030-03-02", "2030-03-03", "2030-03-31", "2030-04-02")
    assert seen == [S.ACTIVE, *[S.NEEDS_ATTENTION] * 3, S.ACTIVE]


def test_two_failed_charges_must_both_succeed() -> None:
    """One of two repaired charges does not bring a membership back."""
    life = Life()
    for charge, day in (("c1", "2030-02-28"), ("c2", "2030-03-31")):
        life.charge(at(day), "failed", charge, day)
    life.charge(at("2030-04-01"), "succeeded", "c1", "2030-02-28")
    life.charge(at("2030-04-02"), "succeeded", "c2", "2030-03-31")
    assert stands(life, "2030-02-28", "2030-04-01", "2030-04-02") == [S.NEEDS_ATTENTION, S.NEEDS_ATTENTION, S.ACTIVE]


def test_an_operators_active_settles_all_trouble() -> None:
    """A status event that says active forgets the failed charges before it."""
    life = Life()
    life.charge(at("2030-02-28"), "failed", "c1", "2030-02-28")
    life.status(at("2030-03-01"), "active")
    life.charge(at("2030-03-31"), "failed", "c2", "2030-03-31")
    life.charge(at("2030-04-01"), "succeeded", "c2", "2030-03-31")
    assert stands(life, "2030-03-01", "2030-03-31", "2030-04-01") == [S.ACTIVE, S.NEEDS_ATTENTION, S.ACTIVE]


@pytest.mark.parametrize("ended", ["paused", "cancelled", "expired"])
def test_charges_do_not_end_what_a_status_event_began(ended: str) -> None:
    """paused, cancelled and expired end by status events only."""
    life = Life()
    life.status(at("2030-02-01"), ended)
    for day, state in (("2030-02-28", "initiated"), ("2030-03-01", "failed"), ("2030-03-02", "succeeded")):
        life.charge(at(day), state, "c1", "2030-02-28")
    life.status(at("2030-03-03"), "active")
    assert stands(life, "2030-02-28", "2030-03-01", "2030-03-02", "2030-03-03") == [*[S(ended)] * 3, S.ACTIVE]


def test_ends_on_is_the_first_day_on_which_it_is_ended() -> None:
    """Until the midnight of ends_on, in the brand's zone, the membership goes on."""
    life = Life()
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    life.status(at("2030-03-05"), "cancelled", "2030-03-31")
    assert stands(life, "2030-03-05", "2030-03-30T23:59", "2030-03-31") == [S.ACTIVE, S.ACTIVE, S.CANCELLED]


def test_a_later_fact_overrules_an_announced_end() -> None:
    """Told active after the end was announced, the membership does not end."""
    life = Life()
    life.status(at("2030-03-05"), "cancelled", "2030-03-31")
    life.status(at("2030-03-10"), "active")
    assert stands(life, "2030-03-10", "2030-03-31", "2031-01-01") == [S.ACTIVE] * 3


def test_an_end_in_the_past_counts_from_the_event() -> None:
    """An ends_on before the event's time is that time."""
    life = Life()
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    life.status(at("2030-04-05"), "expired", "2030-03-31")
    assert stands(life, "2030-03-30", "2030-03-31", "2030-04-05") == [S.ACTIVE, S.ACTIVE, S.EXPIRED]


@pytest.mark.parametrize("before", [None, "cancelled", "paused"])
def test_an_end_that_is_put_off_before_anything_was_billed_leaves_it_upcoming(before: str | None) -> None:
    """As the same announcement does where nothing had ended before: until then it goes on as it was, paused too."""
    life = Life(starts_on=date(2031, 1, 15), signed_up_at=at("2030-12-18"))
    if before is not None:
        life.status(at("2030-12-19"), before)
    life.status(at("2030-12-20"), "cancelled")
    life.status(at("2030-12-21"), "cancelled", "2030-12-31")
    goes_on = S.PAUSED if before == "paused" else S.UPCOMING
    assert stands(life, "2030-12-22", "2031-01-01") == [goes_on, S.CANCELLED]


@pytest.mark.parametrize("ended", ["cancelled", "expired"])
def test_an_end_that_has_come_can_be_put_off(ended: str) -> None:
    """Until that date the membership goes on, and gives what is paid for."""
    life = Life()
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    life.status(at("2030-03-05"), ended)
    life.status(at("2030-03-06"), "cancelled", "2030-04-15")
    life.charge(at("2030-03-31"), "succeeded", "c2", "2030-03-31")
    then = stands(life, "2030-03-05", "2030-03-06", "2030-04-14", "2030-04-15")
    assert then == [S(ended), S.ACTIVE, S.ACTIVE, S.CANCELLED]
    assert life.reasons(at("2030-04-20"))["2030-03-31"].value == "issued"


def test_an_end_that_comes_later_than_it_was_told_is_no_new_one() -> None:
    """A date that has passed by then says when it ended, and lifts nothing."""
    life = Life()
    life.status(at("2030-03-05"), "cancelled")
    life.status(at("2030-03-06"), "cancelled", "2030-03-01")
    assert stands(life, "2030-03-06", "2030-03-07") == [S.CANCELLED, S.CANCELLED]


def test_active_with_an_end_that_has_come_frees_nothing_that_was_held() -> None:
    """It was never active again: what is paid stays held."""
    life = Life()
    life.charge(at("2030-02-28"), "disputed", "c1", "2030-02-28")
    life.status(at("2030-03-10"), "expired")
    life.status(at("2030-03-20"), "active", "2030-03-20")
    assert stands(life, "2030-03-19", "2030-03-20") == [S.EXPIRED, S.CANCELLED]
    standing = life.history(at("2039-01-01")).standing
    assert standing.holds_at(at("2030-03-20"))
    assert len(set(standing.instants)) == len(standing.instants), "nothing lies between the two"


def test_the_later_fact_wins_whichever_arrived_first() -> None:
    """Every order of arrival of the same facts gives the same standing; equal times go by source, then id."""
    told = [
        (at("2030-02-28"), "active", "b"),
        (at("2030-02-28"), "paused", "c"),
        (at("2030-02-28"), "needs_attention", "a"),
        (at("2030-03-05"), "active", "d"),
    ]
    for arrival in permutations(told):
        life = Life()
        for time, status, event_id in arrival:
            life.tell(time, "membership.status_changed", event_id=event_id, status=status)
        assert stands(life, "2030-02-28", "2030-03-05") == [S.PAUSED, S.ACTIVE]


def test_billing_is_active_with_a_charge_in_progress() -> None:
    """People read `billing` while a charge is initiated and nothing more; any outcome ends it."""
    life = Life()
    life.charge(at("2030-02-28"), "initiated", "c1", "2030-02-28")
    assert status_of(life.history(at("2030-03-01"))) is S.BILLING
    life.charge(at("2030-03-02"), "succeeded", "c1", "2030-02-28")
    assert status_of(life.history(at("2030-03-02"))) is S.ACTIVE


def test_automatic_billing_activates_at_the_anchor() -> None:
    """With no external biller the first charge is that of the period from the anchor on."""
    life = Life(automatic=True, billing_anchor=at("2030-03-15").date())
    assert stands(life, "2030-03-14T23:59", "2030-03-15") == [S.UPCOMING, S.ACTIVE]


def test_automatic_billing_of_an_import_begins_with_the_period_it_signed_up_in() -> None:
    """Periods that ended before the sign-up's time are not charged: the membership is active from the running one."""
    life = Life(automatic=True, signed_up_at=at("2030-06-10"))
    assert stands(life, "2030-05-30", "2030-05-31") == [S.UPCOMING, S.ACTIVE]

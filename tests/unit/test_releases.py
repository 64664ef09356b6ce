"""What releases an occurrence, and when (SEMANTICS 3, 7)."""

from datetime import date

import pytest

from issuance.deciding.reasons import Reason
from issuance.deciding.releases import Release, release
from tests.unit.club import Life, at

FEB, MAR = date(2030, 2, 28), date(2030, 3, 31)
LATER = at("2030-12-01")


def test_a_later_occurrence_waits_for_its_charge() -> None:
    """No charge, no release; and one that is initiated releases, days before the bank confirms it. The next occurrence
    waits for its own."""
    life = Life()
    assert release(life.history(at("2030-03-01")), FEB, None) == Release(None, Reason.CHARGE_UNPAID)
    life.charge(at("2030-03-02T10:00"), "initiated", "c1", "2030-02-28")
    assert release(life.history(at("2030-03-03")), FEB, None) == Release(at("2030-03-02T10:00"), None)
    assert release(life.history(at("2030-04-01")), MAR, None) == Release(None, Reason.CHARGE_UNPAID)


def test_a_charge_taken_early_releases_at_the_start_of_the_period() -> None:
    """A period is released when it has started and its charge is there, whichever is later."""
    life = Life()
    life.charge(at("2030-02-20"), "succeeded", "c1", "2030-02-28")
    assert release(life.history(at("2030-02-27")), FEB, None).reason is Reason.NOT_DUE_YET
    assert release(life.history(at("2030-02-28")), FEB, None) == Release(at("2030-02-28"), None)


def test_the_sign_up_is_released_at_once() -> None:
    """Occurrence 0 needs no charge and does not wait for its start; it waits for the sign-up's own time."""
    life = Life(signed_up_at=at("2030-01-10"))
    assert release(life.history(at("2030-01-10")), life.starts_on, None) == Release(at("2030-01-10"), None)
    assert release(life.history(at("2030-01-09")), life.starts_on, None).reason is Reason.NOT_DUE_YET


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("failed", Reason.CHARGE_UNPAID),
        ("disputed", Reason.CHARGE_UNPAID),
        ("refunded", Reason.CHARGE_UNPAID),
        ("skipped", Reason.CHARGE_SKIPPED),
    ],
)
@pytest.mark.parametrize("day", [date(2030, 1, 31), FEB])
def test_a_charge_that_is_taken_back_takes_back_what_it_covers(state: str, reason: Reason, day: date) -> None:
    """failed, skipped, disputed or refunded in full: what the charge covers is not released, the sign-up's too."""
    life = Life()
    life.charge(at(day.isoformat()), "initiated", "c1", day.isoformat())
    life.charge(at("2030-03-04"), state, "c1", day.isoformat())
    assert release(life.history(LATER), day, None).reason is reason


def test_a_refund_in_part_takes_nothing_back() -> None:
    """A sum below the amount is no fact about the charge; the whole amount is, and so is a refund without a sum."""
    for refund, released in (({"amount_refunded": "4.99"}, True), ({"amount_refunded": "10"}, False), ({}, False)):
        life = Life()
        life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28", amount="10.00")
        life.charge(at("2030-03-01"), "refunded", "c1", "2030-02-28", **refund)
        assert (release(life.history(LATER), FEB, None).reason is None) is released


def test_overlapping_charges_release_where_any_pays() -> None:
    """Where charges overlap, any initiated or succeeded one releases."""
    life = Life()
    life.charge(at("2030-02-28"), "failed", "c1", "2030-02-28")
    life.charge(at("2030-03-02"), "succeeded", "c2", "2030-02-28", "2030-03-31")
    life.status(at("2030-03-02"), "active")
    assert release(life.history(LATER), FEB, None) == Release(at("2030-03-02"), None)


def test_a_charge_covers_up_to_its_end_and_no_further() -> None:
    """[period_start, period_end): the day of the end belongs to the next; without it, to the next boundary."""
    life = Life(billing_frequency="P1Y")
    life.charge(at("2030-01-31"), "succeeded", "c1", "2030-01-31", "2030-03-31")
    assert [release(life.history(LATER), day, None).reason for day in (FEB, MAR)] == [None, Reason.CHARGE_UNPAID]
    life = Life(billing_frequency="P3M")
    life.charge(at("2030-01-31"), "succeeded", "c1", "2030-01-31")
    assert [release(life.history(LATER), day, None).reason for day in (MAR, date(2030, 4, 30))] == [
        None,
        Reason.CHARGE_UNPAID,
    ]


def test_an_annual_charge_releases_month_by_month() -> None:
    """Under one annual charge each month is released at its own start."""
    life = Life(billing_frequency="P1Y")
    life.charge(at("2030-01-31"), "succeeded", "c1", "2030-01-31")
    assert [release(life.history(LATER), day, None).first for day in (FEB, MAR)] == [at("2030-02-28"), at("2030-03-31")]


def test_what_happens_later_to_another_charge_changes_nothing() -> None:
    """A released occurrence stays owed though the membership needs attention later."""
    life = Life()
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    life.charge(at("2030-03-31"), "failed", "c2", "2030-03-31")
    assert release(life.history(LATER), FEB, None) == Release(at("2030-02-28"), None)


def test_needs_attention_holds_what_is_paid_until_it_is_active_again() -> None:
    """Held until active again, then released at that instant."""
    life = Life()
    life.charge(at("2030-02-28"), "failed", "c1", "2030-02-28")
    life.charge(at("2030-03-31"), "initiated", "c2", "2030-03-31")
    assert release(life.history(at("2030-04-01")), MAR, None) == Release(None, Reason.NEEDS_ATTENTION)
    life.status(at("2030-04-02"), "active")
    assert release(life.history(LATER), MAR, None) == Release(at("2030-04-02"), None)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("paused", Reason.MEMBERSHIP_PAUSED),
        ("cancelled", Reason.MEMBERSHIP_ENDED),
        ("expired", Reason.MEMBERSHIP_ENDED),
    ],
)
def test_paused_or_ended_at_its_start_it_is_never_made_up_for(status: str, reason: Reason) -> None:
    """The status at the occurrence's start counts, so coming back does not bring it."""
    life = Life()
    life.charge(at("2030-02-27"), "succeeded", "c1", "2030-02-28")
    life.status(at("2030-02-28"), status)
    life.status(at("2030-03-01"), "active")
    assert release(life.history(LATER), FEB, None).reason is reason


@pytest.mark.parametrize("status", ["paused", "cancelled"])
def test_pausing_after_the_start_takes_nothing_away(status: str) -> None:
    """A charge that is taken while paused or ended still releases the period that began before."""
    life = Life()
    life.charge(at("2030-01-31"), "succeeded", "c0", "2030-01-31")
    life.status(at("2030-03-01"), status)
    life.charge(at("2030-03-02"), "succeeded", "c1", "2030-02-28")
    assert release(life.history(LATER), FEB, None) == Release(at("2030-03-02"), None)


def test_success_brings_back_with_the_first_release() -> None:
    """A charge that succeeded after all: released again, and `first` is what it was."""
    life = Life()
    life.charge(at("2030-02-28"), "initiated", "c1", "2030-02-28")
    life.charge(at("2030-03-05"), "failed", "c1", "2030-02-28")
    assert release(life.history(at("2030-03-06")), FEB, None) == Release(at("2030-02-28"), Reason.CHARGE_UNPAID)
    life.charge(at("2030-03-07"), "succeeded", "c1", "2030-02-28")
    assert release(life.history(LATER), FEB, None) == Release(at("2030-02-28"), None)


def test_an_import_releases_nothing_before_the_sign_up_event() -> None:
    """Periods that began before the sign-up's time are released at it, not before."""
    life = Life(signed_up_at=at("2030-06-10"))
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    assert release(life.history(LATER), FEB, None) == Release(at("2030-06-10"), None)


def test_automatic_billing_charges_periods_from_the_anchor_that_end_after_the_sign_up() -> None:
    """Not the days before the anchor, not what ended before the sign-up, not what starts while paused."""
    life = Life(automatic=True, billing_anchor=MAR, signed_up_at=at("2030-05-10"))
    life.status(at("2030-06-15"), "paused")
    life.status(at("2030-07-10"), "active")
    history = life.history(LATER)
    charged_at = [(charge.period_start, charge.told[0].moment.at) for charge in history.charges]
    assert charged_at[:2] == [(date(2030, 4, 30), at("2030-04-30")), (date(2030, 5, 31), at("2030-05-31"))]
    assert date(2030, 6, 30) not in dict(charged_at)
    assert release(history, date(2030, 6, 30), None).reason is Reason.MEMBERSHIP_PAUSED
    assert release(history, date(2030, 7, 31), None) == Release(at("2030-07-31"), None)

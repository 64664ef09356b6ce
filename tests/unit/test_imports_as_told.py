"""Starts, imports, parties and automatic billing as they are told (SEMANTICS 4 to 7)."""

from datetime import date, timedelta
from typing import Any

import pytest

from issuance.deciding.calendar import add_months
from tests.unit.club import ADA, BEN, EVE, UTC_ZONE, Life, at, party, rule, version
from tests.unit.told import FIRST, billed, given, held, life_from, pay


def test_an_extended_trial_moves_the_start() -> None:
    """The credit of the old start is taken back, and the new start gives its own, valid from then on."""
    life = Life(starts_on=FIRST, signed_up_at=at("2029-12-18"))
    assert given(life, "2029-12-18") == ["2030-01-01"]
    life.tell(at("2029-12-30"), "membership.start_moved", starts_on="2030-01-15", billing_anchor=None)
    assert given(life, "2030-01-01") == ["2030-01-15"]
    (credit,) = held(life, "2030-01-01")
    assert credit.valid_from == at("2030-01-15")
    assert life.history(at("2030-01-01")).calendar.anchor_now == date(2030, 1, 15)


@pytest.mark.parametrize("there", ["2030-01-08", "2030-01-29", "2030-03-20"])
@pytest.mark.parametrize("limit", [{"roll_over": False}, {"roll_over_limit": 1}], ids=["no-roll-over", "limit"])
def test_a_start_that_is_moved_away_and_back_was_never_moved(there: str, limit: dict[str, Any]) -> None:
    """The same credit is there again, with the end and the expiry that the sign-up gave it."""
    life = Life(rules=[rule(version(**limit))], starts_on=date(2030, 1, 15), signed_up_at=at("2029-12-18"))
    assert given(life, "2029-12-18") == ["2030-01-15"]
    (first,) = life.credits
    life.tell(at("2029-12-20"), "membership.start_moved", starts_on=there, billing_anchor=None)
    assert given(life, "2029-12-20") == [there]
    life.tell(at("2029-12-21"), "membership.start_moved", starts_on="2030-01-15", billing_anchor=None)
    assert given(life, "2029-12-21") == ["2030-01-15"]
    assert held(life, "2029-12-21") == [first]


def test_a_start_that_has_come_is_not_moved() -> None:
    life = Life(starts_on=FIRST)
    life.tell(at("2030-01-01"), "membership.start_moved", starts_on="2030-01-15", billing_anchor=None)
    assert given(life, "2030-01-20") == ["2030-01-01"]


def imported(months: int, validity: str | None) -> Life:
    """Signed up on 10 June 2031 with all months paid since the start, each on its day."""
    life = Life(rules=[rule(version(validity=validity))], starts_on=FIRST, signed_up_at=at("2031-06-10"))
    pay(life, *(add_months(FIRST, n).isoformat() for n in range(months)))
    return life


def test_an_import_gives_what_would_be_live_had_it_been_issued_in_time() -> None:
    """18 paid months, a coupon of 30 days: June's credit alone, with the days that are left of it."""
    life = imported(18, "P30D")
    assert given(life, "2031-06-10") == ["2031-06-01"]
    (credit,) = life.credits
    assert (credit.valid_from, credit.expires_at) == (at("2031-06-10"), at("2031-07-01"))


def test_an_import_without_a_validity_gives_all_that_rolls_over() -> None:
    assert len(given(imported(18, None), "2031-06-10")) == 18


def test_old_trouble_of_an_import_that_is_over_holds_nothing() -> None:
    life = imported(18, None)
    life.charge(at("2030-03-10"), "failed", "c 2030-03-01", "2030-03-01")
    life.charge(at("2030-03-12"), "skipped", "c 2030-03-01", "2030-03-01")
    assert len(given(life, "2031-06-10")) == 17


def test_trouble_that_still_stands_at_the_sign_up_holds_all() -> None:
    life = imported(18, None)
    life.charge(at("2031-06-05"), "disputed", "c 2031-05-01", "2031-05-01")
    assert given(life, "2031-06-10") == []
    life.charge(at("2031-06-12"), "succeeded", "c 2031-05-01", "2031-05-01")
    assert len(given(life, "2031-06-12")) == 18


def test_a_promise_older_than_the_software_is_kept() -> None:
    """Version 1 counts as created on the first day: what rolls over is owed from then on, what is over is not."""
    made_at = at("2030-06-10")
    for says, owed in (({}, 6), ({"validity": "P20D"}, 1), ({"roll_over": False}, 1)):
        since = version(created_at=at("2030-01-01"), **says)
        life = Life(rules=[rule(since, made_at=made_at)], starts_on=FIRST)
        pay(life, *(add_months(FIRST, n).isoformat() for n in range(6)))
        assert len(given(life, "2030-06-10")) == owed


def without_ids(*names: str, lead: str) -> dict[str, Any]:
    return {"guests": [{"name": name, "lead_booker": name == lead} for name in names]}


def test_a_list_without_ids_takes_nothing_from_anybody() -> None:
    """The same people again, the lead booker too, whichever way they are known."""
    life = Life(guests=(ADA, BEN))
    for guest, name in zip(life.events[0].data["guests"], ("Ada", "Ben"), strict=True):
        guest["name"] = name
    assert len(given(life, "2030-02-01")) == 2
    for day in (5, 6):
        life.tell(at(f"2030-02-0{day}"), "membership.guests_changed", **without_ids("Ben", "Ada", lead="Ada"))
    assert len(given(life, "2030-02-07")) == 2
    life.tell(at("2030-02-08"), "membership.guests_changed", **without_ids("Adelaide", lead="Adelaide"))
    assert [life.everybody[credit.key.place] for credit in held(life, "2030-02-08")] == [ADA, BEN]
    life.settle(at("2030-02-08"))
    assert [life.everybody[credit.key.place] for credit in held(life, "2030-02-08")] == [ADA]


def test_what_began_while_a_guest_was_archived_is_never_made_up_for() -> None:
    life = Life(rules=[rule(billed())], starts_on=FIRST, guests=(ADA, BEN))
    life.archived_guests = {BEN: at("2030-01-20")}
    pay(life, "2030-02-01", "2030-03-01")
    life.settle(at("2030-02-02"))
    life.archived_guests, life.returned_guests = {}, {BEN: at("2030-02-10")}
    life.settle(at("2030-03-02"))
    got = [(life.everybody[credit.key.place], credit.key.period_start.month) for credit in life.credits]
    assert sorted(got, key=str) == sorted([(ADA, 2), (ADA, 3), (BEN, 3)], key=str)


def test_who_returns_and_signs_up_that_day_gets_the_sign_ups_credit() -> None:
    """It began with the sign-up, not at the midnight before the return."""
    life = Life(starts_on=FIRST, signed_up_at=at("2030-01-01T11:00"))
    life.returned_guests = {ADA: at("2030-01-01T10:00")}
    assert given(life, "2030-01-01T11:00") == ["2030-01-01"]


def test_a_guest_who_was_never_on_the_order_is_new() -> None:
    life = Life(rules=[rule(billed())], starts_on=FIRST, guests=(ADA,))
    life.tell(at("2030-01-10"), "membership.guests_changed", **party(ADA, EVE))
    pay(life, "2030-02-01")
    assert given(life, "2030-02-02") == ["2030-02-01", "2030-02-01"]


def test_automatic_billing_charges_a_date_that_is_moved_to_today_at_the_move() -> None:
    life = Life(rules=[rule(billed())], starts_on=FIRST, automatic=True)
    assert given(life, "2030-02-01") == ["2030-02-01"]
    life.move(at("2030-02-10T09:00"), "2030-02-10")
    assert given(life, "2030-02-10T09:00") == ["2030-02-01", "2030-02-10"]
    charged_at = {charge.period_start: charge.told[0].moment.at for charge in life.history(at("2030-03-01")).charges}
    assert charged_at[date(2030, 2, 10)] == at("2030-02-10T09:00")


def test_automatic_billing_goes_by_the_status_of_its_instant() -> None:
    """Paused later that day: charged all the same; paused at its start and resumed that day: not charged."""
    life = Life(rules=[rule(billed())], starts_on=FIRST, automatic=True)
    life.status(at("2030-02-01T10:00"), "paused")
    life.status(at("2030-03-01T10:00"), "active")
    assert given(life, "2030-03-02") == ["2030-02-01"]


def test_every_line_is_settled_on_the_way_as_at_once() -> None:
    """A clock that passes over a life day by day ends with what waking up at its end gives, but for what was issued
    later and lives longer."""
    life = life_from()
    life.status(at("2030-02-10"), "paused")
    life.status(at("2030-03-01T09:00"), "active")
    life.charge(at("2030-03-01T10:30"), "initiated", "c", "2030-03-01")
    life.move(at("2030-03-10T09:00"), "2030-03-10")
    life.charge(at("2030-03-10T09:00"), "succeeded", "d", "2030-03-10")
    day = at("2030-01-01")
    while day < at("2030-04-02"):
        life.settle(day)
        day += timedelta(hours=12)
    assert [credit.key.period_start.day for credit in life.credits] == [1, 10]
    assert life.zone == UTC_ZONE

"""A long life is settled by what can still change of it, and nobody can tell by what is written (docs/decisions 54)."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from campaigns.simulation.twice import decided_twice
from issuance.catalog import coupons, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.rule_versions import CreditRuleChange
from issuance.database.connections import transaction
from issuance.engine import facts, horizons
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.membership import Membership
from issuance.engine.rules import RuleBook
from issuance.members import moves, redemptions
from issuance.members.redemptions import Booking
from issuance.tenancy import clock
from tests.database.clubs import Club, at
from tests.limits import Limit

Loaded = list[Membership]

#: A charge that has succeeded.
PAID = {"charge_id": "of 2031-06-30", "period_start": "2031-06-30"}


@pytest.fixture(autouse=True)
def _all_are_long(limit: Limit) -> None:
    limit("settling", short=1)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loaded]:
    """The memberships that were loaded one by one; what they came to is what all of them would come to in full."""
    found: Loaded = []
    load = horizons.load

    def noted(*given: Any) -> list[Membership]:
        members = load(*given)
        found.extend(members)
        return members

    monkeypatch.setattr(horizons, "load", noted)
    wrong: list[str] = []
    with decided_twice(wrong.append):
        yield found
    assert wrong == []


@pytest.fixture
def old(new_club: Callable[..., Club]) -> Iterator[tuple[Club, UUID]]:
    """A membership of half a year that pays, whose credits end with their month. It is 15 July."""
    club = new_club("external", roll_over=False)
    (one,) = club.sign_up()
    for month in ("2031-02-28", "2031-03-31", "2031-04-30", "2031-05-31", "2031-06-30"):
        charge(club, one, "initiated", f"{month}T06:00", month)
        charge(club, one, "succeeded", f"{month}T09:00", month)
    settle(club, one, "2031-07-15T12:00")
    yield club, one
    club.engine.dispose()


def charge(club: Club, one: UUID, state: str, time: str, month: str) -> None:
    club.move_clock(time)
    said = {"membership_id": str(one), "charge_id": f"of {month}", "period_start": month}
    club.settle(club.tell(f"charge.{state}", time, said))


def settle(club: Club, one: UUID, now: str) -> None:
    club.move_clock(now)
    club.settle([one])


def periods(membership: Membership) -> list[date]:
    return [credit.key.period_start for credit in membership.credits]


def test_by_the_clock_what_is_over_is_not_loaded(old: tuple[Club, UUID], loaded: Loaded) -> None:
    """Only the credit that is out, and the facts that are no charge's of a period that is long over."""
    club, one = old
    settle(club, one, "2031-07-31")
    (membership,) = loaded
    assert membership.horizon is not None
    assert periods(membership) == [date(2031, 6, 30)]
    told = [event.charge_id for event in membership.events]
    assert told == [None, *["of 2031-05-31"] * 2, *["of 2031-06-30"] * 2]
    assert [credit[7] is not None for credit in club.credits()] == [True] * 6


def test_charges_that_come_in_on_time_need_no_more(old: tuple[Club, UUID], loaded: Loaded) -> None:
    club, one = old
    settle(club, one, "2031-07-31")
    charge(club, one, "initiated", "2031-07-31T06:00", "2031-07-31")
    charge(club, one, "succeeded", "2031-08-02T06:00", "2031-07-31")
    assert [membership.horizon is not None for membership in loaded] == [True] * 3
    assert [credit[1] for credit in club.credits()][-1] == date(2031, 7, 31)
    assert len(club.credits()) == 7


def test_who_leaves_things_out_keeps_the_fingerprint_that_all_of_it_has(old: tuple[Club, UUID], loaded: Loaded) -> None:
    """A credit that was used since is among what is carried on."""
    club, one = old
    code = club.value("SELECT code FROM credits WHERE membership_id = :id AND expired_at IS NULL", id=one)
    club.move_clock("2031-07-20")
    with transaction(club.engine, club.brand_id) as connection:
        redemptions.redeem_credit(connection, club.brand_id, code, Booking())
    settle(club, one, "2031-07-31")
    assert [membership.horizon is not None for membership in loaded] == [True]
    with transaction(club.engine, club.brand_id) as connection:
        now = clock.read(connection, club.brand_id)
        (whole,) = facts.load(connection, club.brand_id, now.zone, [one])
        prints = Fingerprints(RuleBook(connection, club.brand_id, now.zone), now)
        assert prints.settled(whole.facts, whole.credits, now.now) == whole.state.fingerprint
    assert whole.state.fingerprint is not None


def _late_charge(club: Club, one: UUID) -> None:
    charge(club, one, "failed", "2031-07-20", "2031-03-31")


def _pause(club: Club, one: UUID) -> None:
    said = {"membership_id": str(one), "status": "paused"}
    club.settle(club.tell("membership.status_changed", "2031-07-15T13:00", said))


def _save(club: Club, _: UUID) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        rules.change(connection, club.brand_id, club.rule_id, CreditRuleChange(include_upcoming=True))


def _give_back(club: Club, one: UUID) -> None:
    code = club.value("SELECT code FROM credits WHERE membership_id = :id AND expired_at IS NULL", id=one)
    with transaction(club.engine, club.brand_id) as connection:
        redemptions.redeem_credit(connection, club.brand_id, code, Booking())
    (redemption_id,) = club.rows("SELECT redemption_id FROM redemptions")[0]
    with transaction(club.engine, club.brand_id) as connection:
        moves.move(connection, club.brand_id, redemption_id, "CANCELED")


@pytest.mark.parametrize("happens", [_late_charge, _pause, _save, _give_back])
def test_whatever_else_happens_has_all_of_it_loaded(
    old: tuple[Club, UUID], loaded: Loaded, happens: Callable[[Club, UUID], None]
) -> None:
    club, one = old
    happens(club, one)
    settle(club, one, "2031-07-31")
    assert [membership.horizon for membership in loaded] == [None] * len(loaded)
    assert loaded


@pytest.mark.parametrize("status", ["paused", "needs_attention"])
def test_who_was_not_in_order_when_settled_is_loaded_whole(old: tuple[Club, UUID], loaded: Loaded, status: str) -> None:
    """However long ago they were told to be: nothing since says so."""
    club, one = old
    said = {"membership_id": str(one), "status": status}
    club.settle(club.tell("membership.status_changed", "2031-07-10", said))
    settle(club, one, "2031-07-31")
    assert [membership.horizon for membership in loaded] == [None, None]
    assert club.value("SELECT status FROM memberships WHERE membership_id = :id", id=one) == status


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        *[(f"charge.{state}", PAID) for state in ("failed", "skipped", "refunded", "disputed")],
        ("membership.guests_changed", {"guests": [{"name": "Eve", "lead_booker": True}]}),
        ("membership.status_changed", {"status": "needs_attention"}),
        ("membership.billing_date_moved", {"billing_anchor": "2031-08-05"}),
    ],
)
def test_news_that_is_more_than_charges_that_pay_is_not_looked_at_from_a_horizon(
    old: tuple[Club, UUID], loaded: Loaded, monkeypatch: pytest.MonkeyPatch, kind: str, says: dict[str, Any]
) -> None:
    """All is needed, and is loaded once."""
    club, one = old
    monkeypatch.setattr(horizons, "_loaded", lambda *_: pytest.fail("it is loaded twice"))
    club.move_clock("2031-07-20")
    club.settle(club.tell(kind, "2031-07-20", {"membership_id": str(one), **says}))
    assert [membership.horizon for membership in loaded] == [None]


def test_a_charge_that_comes_late_gives_what_it_pays_for(old: tuple[Club, UUID], loaded: Loaded) -> None:
    """The month of the charge began before the last settling: what began since is decided anew."""
    club, one = old
    settle(club, one, "2031-08-15")
    loaded.clear()
    charge(club, one, "succeeded", "2031-08-20", "2031-07-31")
    (membership,) = loaded
    assert membership.horizon is not None
    assert membership.horizon.day == date(2031, 7, 27)
    given = club.value("SELECT max(period_start) FROM credits WHERE membership_id = :id", id=one)
    assert given == date(2031, 7, 31)


def test_who_was_told_of_late_is_in_full_until_they_are_in_order(old: tuple[Club, UUID], loaded: Loaded) -> None:
    """After a pause that has ended, long ago enough, the horizon is known again."""
    club, one = old
    for status, time in (("paused", "2031-07-16"), ("active", "2031-07-17")):
        settle(club, one, time)
        club.settle(club.tell("membership.status_changed", time, {"membership_id": str(one), "status": status}))
    loaded.clear()
    settle(club, one, "2031-07-31")
    charge(club, one, "initiated", "2031-07-31T06:00", "2031-07-31")
    assert [membership.horizon is not None for membership in loaded] == [False, True]


def test_a_coupon_that_is_saved_again_changes_nothing_of_a_monthly_rule(old: tuple[Club, UUID], loaded: Loaded) -> None:
    club, one = old
    body = {"name": "Tea", "validity": "P90D", "discount": {"type": "percent", "value": 100}}
    with transaction(club.engine, club.brand_id) as connection:
        coupons.put(connection, club.brand_id, "tea", CouponBody.model_validate(body))
    settle(club, one, "2031-07-31")
    assert [membership.horizon is not None for membership in loaded] == [True]
    assert at("2031-07-31") == club.value("SELECT max(expired_at) FROM credits")

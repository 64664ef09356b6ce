"""A code that is named beside an offer is answered as it is without one (INTERFACE 5, 7)."""

from collections.abc import Callable

import pytest

from issuance.catalog import coupons, offers
from issuance.catalog.coupons import CouponBody
from issuance.catalog.offers import OfferBody
from issuance.corrections import desk
from issuance.corrections.wanted import Correction, Revoke, Transfer
from issuance.database.connections import transaction
from issuance.errors import (
    AlreadyRedeemed,
    CodeUnknown,
    CreditExpired,
    CreditRevoked,
    CreditTransferred,
    IssuanceError,
    OfferUnavailable,
)
from issuance.members import members, redemptions
from issuance.members import offers as booking
from issuance.members.redemptions import Booking
from tests.database.clubs import Club


@pytest.fixture
def spa(new_club: Callable[..., Club]) -> Club:
    """Its offer takes a credit of the coupon that the one membership has."""
    club = new_club("external", issue_on_signup=True, roll_over=False)
    with transaction(club.engine, club.brand_id) as connection:
        members.ensure(connection, club.brand_id, ["bea"])
        offers.put(connection, club.brand_id, "spa-day", OfferBody.model_validate({"name": "Spa", "couponID": "tea"}))
    return club


def correct(club: Club, correction: Correction) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        desk.correct(connection, club.brand_id, correction)


def use(club: Club, code: str) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        redemptions.redeem_credit(connection, club.brand_id, code, Booking())


def expire(club: Club, _code: str) -> None:
    club.move_clock("2031-03-05")


def transfer(club: Club, code: str) -> None:
    correct(club, Transfer(code, "x", external_user_id="bea"))


def revoke(club: Club, code: str) -> None:
    correct(club, Revoke(code, "x"))


def be_of_another_coupon(club: Club, _code: str) -> None:
    coupon = CouponBody.model_validate({"name": "Cake", "discount": {"type": "percent", "value": 100}})
    with transaction(club.engine, club.brand_id) as connection:
        coupons.put(connection, club.brand_id, "cake", coupon)
        offers.put(connection, club.brand_id, "spa-day", OfferBody.model_validate({"name": "Spa", "couponID": "cake"}))


def refused(club: Club, code: str, member: str) -> type[Exception]:
    with transaction(club.engine, club.brand_id) as connection:
        offer = offers.get(connection, club.brand_id, "spa-day")
        with pytest.raises(IssuanceError) as refusal:
            booking.redeem(connection, club.brand_id, offer, member, Booking(), code=code)
    return refusal.type


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (transfer, CreditTransferred),
        (use, AlreadyRedeemed),
        (expire, CreditExpired),
        (revoke, CreditRevoked),
        (be_of_another_coupon, OfferUnavailable),
    ],
)
def test_a_code_says_its_own_reason(spa: Club, happens: Callable[[Club, str], None], why: type[Exception]) -> None:
    (membership_id,) = spa.sign_up(1)
    code = spa.value("SELECT code FROM credits")
    happens(spa, code)
    assert refused(spa, code, f"member {membership_id}") is why


def test_anothers_code_is_as_unknown_as_none(spa: Club) -> None:
    """Live or used: the two are guesses."""
    spa.sign_up(1)
    code = spa.value("SELECT code FROM credits")
    assert {refused(spa, code, "bea"), refused(spa, "0" * 16, "bea")} == {CodeUnknown}
    use(spa, code)
    assert refused(spa, code, "bea") is CodeUnknown

"""Grants: a credit that a person gives to one guest, under no rule (SEMANTICS 15)."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.corrections.wanted import Grant
from issuance.deciding.calendar import add_validity
from issuance.deciding.facts import NO_PERIOD, NO_RULE, Credit, CreditKey
from issuance.deciding.frequency import parse_validity
from issuance.deciding.history import History
from issuance.engine.membership import Membership
from issuance.errors import Invalid, MemberArchived, NotSettledYet
from issuance.tenancy.clock import BrandClock

_COUPON = text("SELECT coupon_id, name, validity FROM coupons WHERE brand_id = :brand_id AND coupon_id = :coupon_id")
_IS_LISTED = text("""
    SELECT FROM guests WHERE brand_id = :brand_id AND membership_id = :membership_id AND guest_id = :guest_id
""")


class Granted(NamedTuple):
    """A credit that is to be given, with what it is one of."""

    credit: Credit
    coupon_id: str
    coupon_name: str


def granted(connection: Connection, brand_id: UUID, membership: Membership, grant: Grant, clock: BrandClock) -> Granted:
    """The credit that a grant gives. Raises Invalid, MemberArchived; NotSettledYet for a guest of just now."""
    history = membership.history(clock.now)
    place = _place(membership, history, grant.guest_id)
    if history.is_archived(place):
        raise MemberArchived
    coupon = connection.execute(_COUPON, {"brand_id": brand_id, "coupon_id": grant.coupon_id}).one_or_none()
    if coupon is None:
        raise Invalid(fields={"coupon_id": "There is no such coupon."})
    parameters = {
        "brand_id": brand_id,
        "membership_id": membership.membership_id,
        "guest_id": membership.guest_ids[place],
    }
    if connection.execute(_IS_LISTED, parameters).first() is None:
        raise NotSettledYet("The guest came just now. Ask again in a moment.")
    if grant.max_uses is not None and not grant.multi_use:
        raise Invalid(fields={"max_uses": "goes only with multi_use"})
    valid_from = clock.now if grant.valid_from is None else grant.valid_from
    if valid_from < clock.now:
        raise Invalid(fields={"valid_from": "must not be in the past"})
    expires_at = grant.expires_at
    if expires_at is None and coupon.validity is not None:
        expires_at = add_validity(valid_from, parse_validity(coupon.validity), clock.zone)
    if expires_at is not None and expires_at <= valid_from:
        raise Invalid(fields={"expires_at": "must be later than valid_from"})
    number = sum(credit.is_grant for credit in membership.credits)
    credit = Credit(
        CreditKey(NO_RULE, place, NO_PERIOD, number),
        rule_version=0,
        period_end=None,
        roll_over=True,
        multi_use=grant.multi_use,
        valid_from=valid_from,
        expires_at=expires_at,
        validity_ends_at=expires_at,
        issued_at=clock.now,
        manual=True,
        max_uses=grant.max_uses,
    )
    return Granted(credit, coupon.coupon_id, coupon.name)


def _place(membership: Membership, history: History, guest_id: UUID | None) -> int:
    """The place of a guest who is on the order now; None: of the lead booker. Raises Invalid."""
    on_order = dict(history.parties.now)
    if guest_id is None:
        return next(place for place, lead_booker in on_order.items() if lead_booker)
    place = membership.places.get(guest_id)
    if place is None or place not in on_order:
        raise Invalid(fields={"guest_id": "There is no such guest on the order."})
    return place

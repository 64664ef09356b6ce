"""What users write by hand at Stripe, in metadata and prices, costs nobody their sign-up."""

import json
from typing import Any
from uuid import UUID

import pytest

from issuance.billers.stripe.payloads import item_of
from issuance.billers.stripe.told import party_of
from issuance.billing.event_data import NamedGuest

MEMBERSHIP_ID = UUID(int=7)


def party(*guests: Any, quantity: int = 1) -> list[dict[str, Any]]:
    item = {"id": "si_1", "quantity": quantity, "price": {"id": "price_gold"}}
    subscription = {"id": "sub_1", "items": {"data": [item]}, "metadata": {"guests": json.dumps(guests)}}
    return party_of(subscription, item_of(item), MEMBERSHIP_ID, "ada")


@pytest.mark.parametrize(
    ("guests", "names"),
    [
        ((), ["ada"]),
        (({"id": "1", "external_user_id": "bea"}, {"id": "2", "external_user_id": "bea"}), ["ada", "bea"]),
        (({"external_user_id": "ada", "name": "Ada herself"}, "Cy"), ["ada", "Cy"]),
        (({"name": "n" * 400},), ["ada", "n" * 255]),
        (([1, 2], {"id": True}, {"id": 5.5}, {"id": 10**100}, {}, ""), ["ada"]),
    ],
)
def test_nobody_is_on_an_order_twice_and_every_name_can_be_taken(guests: Any, names: list[str]) -> None:
    """Each entry is one that the inbox takes: a member stands on the order once, a name is cut."""
    found = party(*guests)
    assert [guest["name"][:255] for guest in found] == names
    for guest in found:
        NamedGuest.model_validate(guest)


def test_ids_of_guests_may_be_numbers() -> None:
    """Two of one name are two; a number and its text are one id."""
    two = party({"id": 1, "name": "Bo"}, {"id": 2, "name": "Bo"})
    assert [guest["name"] for guest in two] == ["ada", "Bo", "Bo"]
    assert len({guest["guest_id"] for guest in two}) == 3
    assert two == party({"id": "1", "name": "Bo"}, {"id": "2", "name": "Bo"})
    assert party({"external_user_id": 7})[1]["external_user_id"] == "7"


@pytest.mark.parametrize(
    ("interval", "count", "frequency"),
    [
        ("month", 1, "P1M"),
        ("day", 28, "P4W"),
        ("month", 0, None),
        ("week", -2, None),
        ("month", 37, None),
        ("year", 4, None),
        ("day", 1, None),
        ("day", 0, None),
    ],
)
def test_a_price_is_billed_as_a_membership_can_be_or_not_at_all(interval: str, count: int, frequency: str) -> None:
    body = {"id": "si_1", "price": {"id": "price", "recurring": {"interval": interval, "interval_count": count}}}
    assert item_of(body).frequency == frequency

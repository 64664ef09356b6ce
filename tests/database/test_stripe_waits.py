"""A webhook that waits for something and can not be mapped in part: neither makes the other be forgotten."""

import threading
from typing import Any

import pytest
from sqlalchemy import Engine

from issuance.billers import deliveries
from tests.database.stripe_asked import ask
from tests.database.stripes import Club
from tests.database.test_stripe_sequences import plugged_in
from tests.stripe.fake import FakeStripe
from tests.stripe.lives import START, Life, item

YEARLY, LOCKER = "si_yearly", "si_locker"


def with_locker(name: str) -> Life:
    """A yearly membership, and a locker whose price nobody has mapped."""
    locker = item(LOCKER)
    locker["price"]["id"] = "price_locker"
    life = Life(name, items=[item(YEARLY, "price_gold_year"), locker])
    year = START, "2032-01-15 10:30"
    life.bill("year", *year, lines=[life.line(*year), life.line(*year, 100, item=LOCKER, price="price_locker")])
    return life


def paid_year(club: Club, life: Life) -> list[dict[str, Any]]:
    return [fact[3] for fact in club.facts(life.id, YEARLY) if fact[0] == "charge.succeeded"]


@pytest.mark.parametrize("first", ["its invoice", "its subscription"])
def test_an_invoice_with_an_unmapped_price_waits_for_its_subscription(engine: Engine, first: str) -> None:
    """In either order the year is paid, and the price that is missing is shown."""
    club, life = plugged_in(engine), with_locker("waits")
    made, *billed = life.events
    for events in (billed, [made]) if first == "its invoice" else ([made], billed):
        club.deliver(events)
        club.translate()
    assert len(paid_year(club, life)) == 1
    assert club.why() == {("unmappable", "unmapped_price", "price_locker")}
    club.map("price_locker", None)
    club.translate()
    assert (club.why(), len(paid_year(club, life))) == (set(), 1)


def test_who_signs_up_with_an_unmapped_price_is_asked_for(fake: FakeStripe, asked: Club) -> None:
    """Whose the customer is does not hang on the map."""
    life = with_locker("customer")
    fake.put({"object": "customer", "id": "cus_customer", "metadata": {"external_user_id": "ada"}})
    asked.deliver(life.events)
    asked.translate()
    ask(asked)
    signed_up = [fact[3] for fact in asked.facts(life.id, YEARLY) if fact[0] == "membership.signed_up"]
    assert [fact["external_user_id"] for fact in signed_up] == ["ada"]
    assert len(paid_year(asked, life)) == 1


def test_what_waits_says_too_what_is_not_mapped(engine: Engine) -> None:
    club, life = plugged_in(engine), with_locker("says")
    club.deliver(life.events[-1:])
    club.translate()
    assert club.why() == {("waiting", "waits", life.id)}
    (message,) = club.messages()
    assert message == "its subscription has not signed up yet; nobody mapped the price price_locker"


def test_a_price_that_is_mapped_while_its_webhooks_are_translated_is_known_to_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were read by the map as it was: what they are noted to be is tried again."""
    club, life, mark = plugged_in(engine), with_locker("beside"), deliveries.mark
    mapping = threading.Thread(target=club.map, args=("price_locker", None))

    def mapped_before(*noted: Any, **more: Any) -> None:
        if not mapping.ident:
            mapping.start()
            mapping.join(1)  # it ends, or waits
        mark(*noted, **more)

    monkeypatch.setattr(deliveries, "mark", mapped_before)
    club.deliver(life.events)
    club.translate()
    mapping.join()
    club.translate()
    assert club.why() == set()

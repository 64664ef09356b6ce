"""What a webhook does not say is asked for before it is translated: customers, invoices, lines, charges."""

import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.database.stripe_asked import ask, reconcile
from tests.database.stripes import Club
from tests.database.test_stripe_reconcile import came
from tests.database.test_stripe_sequences import SEQUENCES, SETTLED_AT, plugged_in
from tests.limits import Limit
from tests.stripe.fake import FakeStripe
from tests.stripe.lives import Life, item
from tests.stripe.owed import gold


def test_the_member_is_the_customers_external_id(fake: FakeStripe, asked: Club) -> None:
    """Asked of Stripe, never taken from webhooks."""
    events = SEQUENCES[0]["stripe_events"]
    fake.put({"object": "customer", "id": "cus_a", "metadata": {"external_user_id": "ada"}})
    asked.deliver(events)
    asked.translate()
    assert asked.facts() == []
    ask(asked)
    assert asked.facts()[0][3]["external_user_id"] == "ada"


def test_a_payment_whose_invoice_nobody_named_is_asked_for(fake: FakeStripe, asked: Club) -> None:
    """Newer API versions name no invoice in a charge: by the list of invoice payments."""
    fake.put({"object": "customer", "id": "cus_b", "metadata": {}})
    events = [event for event in SEQUENCES[1]["stripe_events"] if event["type"] != "invoice_payment.paid"]
    fake.happen(SEQUENCES[1]["stripe_events"])
    refund = {"object": "refund", "id": "re_1", "charge": "ch_b1", "payment_intent": "pi_in_b1", "amount": 9000}
    refunded = {"id": "evt_refund", "type": "refund.created", "created": 1929348000, "livemode": False}
    asked.deliver([*events, {**refunded, "data": {"object": {**refund, "status": "succeeded"}}}])
    asked.translate()
    ask(asked)
    assert asked.why() == set()
    assert came(asked) == {"sub_b/si_1_b": gold("2031-01-15", "2031-03-15")}


MANY = [f"si_many_{number:02d}" for number in range(13)]


def of_many_lines() -> Life:
    """One of thirteen items, so that its invoices have more lines than Stripe writes into a webhook."""
    life = Life("many", items=[item(one) for one in MANY], basil=True)
    for start, end in pairwise(("2031-01-15", "2031-02-15", "2031-03-15", "2031-04-15")):
        lines = [{"id": f"il_{one}", **life.line(f"{start} 10:30", f"{end} 10:30", item=one)} for one in MANY]
        life.bill(start[5:], f"{start} 10:30", f"{end} 10:30", lines=lines)
    life.refund("02-15", "2031-02-20 09:00", 13 * 9000)
    return life


@pytest.mark.parametrize("lost", ["nothing", "all of it"])
def test_the_lines_that_an_invoice_does_not_say_are_asked_for(
    fake: FakeStripe, asked: Club, limit: Limit, lost: str
) -> None:
    """Page by page, when its webhook comes and when it is reconciled: every item has its credits, and a refund takes
    back all of one month's."""
    limit("billers", page=5)
    life = of_many_lines()
    fake.happen(life.events)
    if lost == "nothing":
        random.Random(1).shuffle(life.events)
        asked.deliver({**event, "data": {"object": fake.shown(event["data"]["object"])}} for event in life.events)
        asked.translate()
        ask(asked)
    else:
        reconcile(asked, since=datetime(2031, 1, 1, tzinfo=UTC))
    assert asked.why() == set()
    asked.settle(SETTLED_AT)
    assert [asked.credits("sub_many", one) for one in MANY] == [["2031-01-15", "2031-03-15"]] * 13
    fake.requests.clear()
    reconcile(asked, since=datetime(2031, 1, 1, tzinfo=UTC))
    assert not [path for path in fake.requests if "/lines" in path], "once is enough"


def test_without_an_api_key_it_is_said_that_lines_are_missing(fake: FakeStripe, engine: Engine) -> None:
    """Whoever stands on the lines that are there has theirs."""
    club = plugged_in(engine)
    club.deliver({**event, "data": {"object": fake.shown(event["data"]["object"])}} for event in of_many_lines().events)
    club.translate()
    assert {(state, code) for state, code, _ in club.why()} == {("unmappable", "lines_missing")}
    club.settle(SETTLED_AT)
    assert [club.credits("sub_many", one) for one in MANY] == [["2031-01-15", "2031-03-15"]] * 10 + [["2031-01-15"]] * 3


def test_a_key_that_may_not_read_charges_keeps_no_sign_up_waiting(
    fake: FakeStripe, asked: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it may read is read."""
    answer = fake.answer

    def forbids(path: str, query: Any) -> tuple[int, Any]:
        return (403, {}) if "/charges" in path or "/payment_intents" in path else answer(path, query)

    monkeypatch.setattr(fake, "answer", forbids)
    life = Life("restricted", basil=True)
    life.refund("02-15", "2031-02-20 09:00", 9000)
    life.events[-1]["data"]["object"]["payment_intent"] = None
    fake.put({"object": "customer", "id": "cus_restricted", "metadata": {"external_user_id": "ada"}})
    asked.deliver(life.events)
    asked.translate()
    ask(asked)
    assert asked.facts()[0][3]["external_user_id"] == "ada"
    assert asked.why() == {("asking", "waits", "ch_restricted_02-15")}


@pytest.mark.parametrize("link", ["none", "of one that names no invoice"])
def test_a_refund_waits_for_its_invoice_where_stripe_knows_no_more(fake: FakeStripe, asked: Club, link: str) -> None:
    """A charge of which Stripe says nothing, or that says `invoice: null`, as newer versions' may: the invoice payment
    that comes later says which it was for."""
    life = Life("linked", basil=True)
    life.months("2031-01-15", "2031-02-15", "2031-03-15", "2031-04-15")
    life.refunded("02-15", "2031-02-20 09:00", 9000)
    if link != "none":
        life.events[-1]["data"]["object"]["invoice"] = None
    asked.deliver([life.events[-1]])
    asked.translate()
    ask(asked)
    asked.deliver(life.events)
    asked.translate()
    ask(asked)
    assert asked.why() == set()
    asked.settle(SETTLED_AT)
    assert asked.credits("sub_linked", "si_linked") == ["2031-01-15", "2031-03-15"]

"""Whatever a webhook of Stripe's says, well signed as it is, it is kept and shown, and harms nobody else."""

import itertools
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from sqlalchemy import Engine, text

from campaigns.fuzz import values
from issuance.billers import billers, deliveries, receiving
from issuance.billers.adapter import NotReadable
from issuance.billers.adapters import adapter_of
from issuance.billing import events
from issuance.billing.events import Remark
from issuance.database.connections import transaction
from tests.database.stripes import Club
from tests.database.test_stripe_sequences import SETTLED_AT, plugged_in
from tests.stripe import FOLDER
from tests.stripe.lives import Life, stamp
from tests.stripe.owed import APR, FEB, JAN, MAR

#: In the place of anything that Stripe says.
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 1.5, 9000.0, 2**31, 10**12, 2**63, 10**30, -62_167_219_200, 3_093_527_980_800),
    *("", "x", "9000", "a\x00b", "0" * 300, "price_gold", "2031-01-15", "active", "incomplete_expired"),
    *([], [None], [{}], {}, {"id": None}, {"id": "sub_x"}, {"data": {}}, {"data": [1]}, {"has_more": True, "data": []}),
)  # fmt: skip
PAYLOADS = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")) if "signature" not in path.name]
_BODIES = text("SELECT delivery_id, body, state, code, message FROM biller_deliveries WHERE brand_id = :brand_id")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def club(engine: Engine) -> Club:
    return plugged_in(engine)


def a_life(name: str, *, basil: bool = False) -> Life:
    """A bit of everything."""
    life = Life(
        name, basil=basil, metadata={"external_user_id": name, "guests": '[{"id": "g", "email": "g@x.example"}]'}
    )
    life.months(JAN, FEB, MAR, APR)
    life.change("2031-02-01 09:00", cancel_at_period_end=True)
    life.change("2031-02-02 09:00", cancel_at_period_end=False)
    life.refunded("02-15", "2031-02-20 09:00", 3000)
    life.refund("02-15", "2031-02-21 09:00", 6000)
    life.dispute("03-15", "2031-03-20 09:00", "needs_response")
    life.change_price("2031-04-02 09:00", "price_silver")
    life.end("2031-04-10 09:00")
    return life


def payload(chance: Random, number: int) -> dict[str, Any]:
    """One that Stripe really sent, as an event of its own."""
    said = dict(chance.choice(PAYLOADS))
    kind = {"subscription": "customer.subscription.updated", "invoice": "invoice.updated"}
    of = kind.get(said["data"]["object"]["object"], "invoice.updated")
    return {"type": of, "created": stamp("2031-01-15 10:30"), **said, "livemode": False, "id": f"evt_payload_{number}"}


def odd(chance: Random, value: Any, depth: int = 0) -> Any:
    """The same with one thing in it, anywhere, that is odd or not there."""
    if isinstance(value, (dict, list)) and value and (depth == 0 or chance.random() < 0.92):
        value = value.copy()
        place: Any = chance.choice(sorted(value)) if isinstance(value, dict) else chance.randrange(len(value))
        if chance.random() < 0.1:
            del value[place]
        else:
            value[place] = odd(chance, value[place], depth + 1)
        return value
    return chance.choice(ODD)


def spoilt(chance: Random, event: dict[str, Any]) -> dict[str, Any]:
    """An event of the same id, so that what becomes of it is found; its object spoilt, or all of it."""
    about = event["data"]["object"]
    for _ in range(chance.choice((1, 1, 2))):
        about = odd(chance, about) if chance.random() < 0.8 else values.spoilt(chance, about, 1)
    event = {**event, "data": {**event["data"], "object": about}}
    return {**odd(chance, event), "id": event["id"]} if chance.random() < 0.1 else event


def keep(club: Club, body: bytes) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        biller = billers.get(connection, club.brand_id, club.biller_id)
    receiving.keep(club.engine, biller, body)


def kept(club: Club) -> dict[str, Any]:
    with transaction(club.engine, club.brand_id) as connection:
        return {row.delivery_id: row for row in connection.execute(_BODIES, {"brand_id": club.brand_id})}


@pytest.fixture
def neighbours(club: Club) -> Iterator[list[Life]]:
    """Lives among which what is hostile comes; in the end each has its credits."""
    lives: list[Life] = []
    yield lives
    club.settle(SETTLED_AT)
    assert {life.name: club.credits(life.id, f"si_{life.name}") for life in lives} == {
        life.name: [JAN, FEB, MAR] for life in lives
    }


def test_what_is_odd_is_kept_and_shown_and_harms_nobody(club: Club, neighbours: list[Life]) -> None:
    """Real payloads and whole lives, with anything in them spoilt: they become facts, or it is said why they do not;
    the other webhooks of the batch, also those of the same subscription, are read."""

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategies.randoms(use_true_random=False))
    def one(chance: Random) -> None:
        number = next(_numbers)
        life, neighbour = a_life(f"odd{number}", basil=chance.random() < 0.5), Life(f"calm{number}")
        neighbour.months(JAN, FEB, MAR, APR)
        webhooks = [*life.events, payload(chance, number)]
        for place in {chance.randrange(len(webhooks)) for _ in range(2)}:
            webhooks[place] = spoilt(chance, webhooks[place])
        webhooks += neighbour.events
        chance.shuffle(webhooks)
        before = kept(club).keys()
        for event in webhooks:
            keep(club, json.dumps(event).encode())
        club.translate()
        rows = {name: row for name, row in kept(club).items() if name not in before}
        assert len(rows) >= len(webhooks) - 2, "one that can not be read is kept under its hash, once"
        assert [row for row in rows.values() if row.code == "error"] == []
        assert all(row.code and row.message for row in rows.values() if row.state != "translated")
        assert {rows[event["id"]].state for event in neighbour.events} == {"translated"}
        neighbours.append(neighbour)

    one()
    states = {row.state for row in kept(club).values()}
    assert {"translated", "unmappable", "refused"} <= states, "of each there is some"


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("status", None), ("status", "suspended"), ("status", 5), ("items", None), ("items", {"data": []}),
        ("items", {"data": [{"id": "si_x"}]}), ("created", "2031-01-15"), ("trial_end", 3_093_527_980_800),
        ("billing_cycle_anchor", -62_167_219_200), ("customer", 5), ("metadata", ["x"]), ("start_date", 1.5),
        ("trial_end", 10**400), ("customer", None),
        ("items", {"data": [{"id": f"si_{n}", "price": {"id": "price_gold"}, "quantity": 400} for n in range(101)]}),
    ],
)  # fmt: skip
def test_a_subscription_that_says_what_none_does_signs_nobody_up(engine: Engine, attribute: str, value: Any) -> None:
    """It is shown as not translated, not taken for one that says nothing; the same as it should be is translated."""
    club = plugged_in(engine)
    life = Life("says", metadata={})
    event = life.events[0]
    about = {**event["data"]["object"], attribute: value}
    club.deliver([{**event, "id": "evt_odd", "data": {"object": about}}])
    club.translate()
    ((state, code, _),) = club.why()
    assert (state, code) == ("unmappable", "malformed")
    assert club.facts() == []
    club.deliver([event])
    club.translate()
    assert [kind for kind, *_ in club.facts()] == ["membership.signed_up"]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("status", "pending"), ("status", None), ("lines", None), ("lines", {"data": [5]}), ("amount_due", "9000"),
        ("lines", {"data": [{"subscription_item": "si_says", "price": {"id": "price_gold"}}]}),
        ("lines", {"data": [{"subscription_item": "si_says", "period": {"start": 1926239400, "end": 1928917800}}]}),
        ("subscription", 5), ("created", []),
    ],
)  # fmt: skip
def test_an_invoice_that_says_what_none_does_tells_nothing(engine: Engine, attribute: str, value: Any) -> None:
    club = plugged_in(engine)
    life = Life("says")
    life.months(JAN, FEB)
    paid = life.events[-1]
    odd_one = {**paid, "id": "evt_odd", "data": {"object": {**paid["data"]["object"], attribute: value}}}
    club.deliver([life.events[0], odd_one])
    club.translate()
    assert {(state, code) for state, code, _ in club.why()} == {("unmappable", "malformed")}
    assert [kind for kind, *_ in club.facts()] == ["membership.signed_up"]
    club.deliver(life.events)
    club.translate()
    assert club.facts()[-1][0] == "charge.succeeded"


def test_what_the_inbox_refuses_is_not_taken_for_told(club: Club) -> None:
    """It is tried again whole: a sign-up whose member can not be named signs up once they can."""
    life = Life("refused_once")
    life.months(JAN, FEB)
    club.deliver(life.events)
    take = events.take

    def refuses(connection: Any, brand_id: Any, batch: Any) -> Any:
        intake = take(connection, brand_id, batch)
        if any(event.type == "membership.signed_up" for event in batch.parsed.values()):
            intake.rejected.append(Remark(0, "unknown_membership_type", "there is no such membership type"))
        return intake

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(events, "take", refuses)
        club.translate()
    assert "unknown_membership_type" in {code for _, code, _ in club.why()}
    assert club.facts(life.id, "si_refused_once") == []
    with transaction(club.engine, club.brand_id) as connection:
        deliveries.retry(connection, club.brand_id, club.biller_id)
    club.translate()
    told = {"membership.signed_up", "charge.initiated", "charge.succeeded"}
    assert {kind for kind, *_ in club.facts(life.id, "si_refused_once")} == told


def _biller(club: Club) -> Any:
    with transaction(club.engine, club.brand_id) as connection:
        return billers.get(connection, club.brand_id, club.biller_id)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "evt_\\ud800"}',
        b'{"id": "evt_1", "type": "invoice.paid", "created": 1926239400, "data": {"object": {"id": "in_\\ud800"}}}',
        b"[" * 100_000,
        b'{"id": "evt_1", "type": "invoice.paid", "created": 1e400}',
        b'{"id": "evt_1", "type": "invoice.paid", "livemode": false, "created": null, "data": {"object": {}}}',
        b'{"id": "evt_1", "type": "invoice.paid", "created": 1926239400, "data": {"object": {"id": "in_1"}}}',
        b'{"id": "evt_1", "type": "invoice.paid", "livemode": false, "created": 99999999999999, "data": {}}',
        b"\xff\xfe",
        b"",
    ],
)
def test_what_is_no_event_is_refused_by_the_adapter(club: Club, body: bytes) -> None:
    """It is kept under the hash of its bytes; without an instant it would count as of 1970, and without a mode for
    either."""
    with pytest.raises(NotReadable):
        adapter_of(_biller(club)).parse(body)
    keep(club, body)
    assert [row.code for row in kept(club).values() if row.body == body] == ["not_an_event"]


def test_what_users_write_as_guests_costs_nobody_a_sign_up(club: Club) -> None:
    names = ('["\\u0000", "Bea"]', '["\\ud800"]', "[" * 450, '[{"email": 5, "name": "Cy"}]', '{"a": 1}', "1e999")
    for number, guests in enumerate(names):
        life = Life(f"guests{number}", metadata={"guests": guests})
        club.deliver(life.events)
        club.translate()
        assert [kind for kind, *_ in club.facts(life.id, f"si_{life.name}")] == ["membership.signed_up"]


def test_guests_that_begin_as_json_and_are_none_are_shown_and_nobody_is_made_of_them(engine: Engine) -> None:
    """The member signs up alone; who stood on the order stays there while it can not be read; mended, it is told."""
    club, broken = plugged_in(engine), '[{"id": "x", "nope'
    lives = Life("broken_first", metadata={"guests": broken}), Life("broken_later", metadata={"guests": "Bea, Cy"})
    lives[1].change("2031-01-20 09:00", metadata={"guests": broken})
    for life in lives:
        club.deliver(life.events)
    club.translate()
    assert {(state, code) for state, code, _ in club.why()} == {("unmappable", "malformed")}
    told = [fact for life in lives for fact in club.facts(life.id, f"si_{life.name}")]
    assert [fact[0] for fact in told] == ["membership.signed_up"] * 2
    assert [[one["name"] for one in fact[3].get("guests", [])[1:]] for fact in told] == [[], ["Bea", "Cy"]]
    lives[0].change("2031-01-21 09:00", metadata={"guests": '["Di"]'})
    club.deliver(lives[0].events[-1:])
    club.translate()
    kind, _, _, data = club.facts(lives[0].id, "si_broken_first")[-1]
    assert (kind, [one["name"] for one in data["guests"][1:]]) == ("membership.guests_changed", ["Di"])


def test_one_message_hides_no_other_and_a_blank_name_is_none(engine: Engine) -> None:
    """What is not translated is shown by its commonest message, with how many there are; a member whose id is blank is
    named by the customer."""
    club, lives = (
        plugged_in(engine),
        [Life(f"vague{number}", metadata={"external_user_id": "  "}) for number in range(4)],
    )
    for life, status in zip(lives, ("zzz", "zzz", "aaa", None), strict=True):
        if status is not None:
            life.change("2031-01-20 09:00", status=status)
        club.deliver(life.events)
    club.translate()
    with transaction(club.engine, club.brand_id) as connection:
        (shown,) = deliveries.counts(connection, club.brand_id, [club.biller_id])
    assert (shown["deliveries"], shown["messages"], "zzz" in shown["message"]) == (3, 2, True)
    (fact,) = club.facts(lives[3].id, "si_vague3")
    assert fact[3]["external_user_id"] == "cus_vague3"


def test_a_webhook_may_be_called_as_what_reconciling_keeps(engine: Engine) -> None:
    """It is translated all the same."""
    club, life = plugged_in(engine), Life("called")
    club.deliver([{**event, "id": f"reconcile:{event['id']}"} for event in life.events])
    club.translate()
    assert [kind for kind, *_ in club.facts(life.id, "si_called")] == ["membership.signed_up"]

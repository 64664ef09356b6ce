"""The conformance suite: what every adapter must do, whichever biller it reads (docs/write-an-adapter.md).

A new adapter joins with a case in `adapter_cases`.
"""

import contextlib
import json
import random
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from issuance.billers import billers, receiving, reconciling
from issuance.billers.adapter import Askable, BadSignature
from issuance.billers.adapters import adapter_of, versions
from issuance.database.connections import looks_for, transaction
from issuance.errors import Conflict, Invalid
from tests.database.adapter_cases import CASES, RULE, ZONE, Case
from tests.database.stripe_asked import ask, reconcile
from tests.database.stripes import Club, new_club
from tests.limits import Limit
from tests.stripe.fake import FakeStripe, fake_stripe

_AGAIN = text("UPDATE biller_deliveries SET state = 'pending', code = NULL, message = NULL WHERE brand_id = :brand_id")

every_adapter = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, limit: Limit) -> Iterator[FakeStripe]:
    """What an adapter asks, if it asks."""
    with fake_stripe() as fake:
        monkeypatch.setenv("ISSUANCE_STRIPE_API_BASE", fake.url)
        limit("billers", asked_a_second=1000)
        yield fake


def plugged_in(engine: Engine, case: Case, *, mapped: bool = True) -> Club:
    club = new_club(engine, ZONE, RULE, new=case.new)
    if mapped:
        club.map(case.price)
    return club


def receive(club: Club, case: Case, body: bytes, secret: str | None = None) -> None:
    looks = looks_for(club.engine.url.render_as_string(hide_password=False))
    headers = case.sign(body, case.secret if secret is None else secret)
    receiving.receive(club.engine, looks, case.new.kind, club.biller_id, body, headers)


def send(club: Club, case: Case, numbers: list[int]) -> None:
    for number in numbers:
        receive(club, case, json.dumps(case.deliveries[number][1]).encode())


def translated(club: Club) -> None:
    club.translate()
    ask(club)


@every_adapter
def test_in_order_the_credits_are_those_owed(engine: Engine, case: Case) -> None:
    """Each translated when it comes."""
    club = plugged_in(engine, case)
    for number in range(len(case.deliveries)):
        send(club, case, [number])
        translated(club)
    club.settle(case.settled_at)
    assert club.credits_of(case.membership_id) == case.owed
    assert club.why() == set()


@pytest.mark.parametrize("seed", range(5))
@every_adapter
def test_doubled_and_shuffled_they_are_the_same(engine: Engine, case: Case, seed: int) -> None:
    chance = random.Random(seed)
    club = plugged_in(engine, case)
    numbers = [*range(len(case.deliveries))] * 2
    chance.shuffle(numbers)
    for number in numbers:
        send(club, case, [number])
        if chance.random() < 0.4:
            translated(club)
    translated(club)
    club.settle(case.settled_at)
    assert club.credits_of(case.membership_id) == case.owed
    assert club.why() == set()


@every_adapter
def test_what_nobody_mapped_is_kept_and_translated_once_it_is(engine: Engine, case: Case) -> None:
    club = plugged_in(engine, case, mapped=False)
    send(club, case, [*range(len(case.deliveries))])
    translated(club)
    club.settle(case.settled_at)
    assert ("unmappable", "unmapped_price", case.price) in club.why()
    assert club.credits_of(case.membership_id) == []
    club.map(case.price)
    translated(club)
    club.settle(case.settled_at)
    assert club.credits_of(case.membership_id) == case.owed
    assert club.why() == set()


@every_adapter
def test_translated_again_it_tells_nothing_new(engine: Engine, case: Case) -> None:
    """Ids are made of what never changes."""
    club = plugged_in(engine, case)
    send(club, case, [*range(len(case.deliveries))])
    translated(club)
    told = club.facts()
    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(_AGAIN, {"brand_id": club.brand_id})
    translated(club)
    assert club.facts() == told
    assert told


@every_adapter
def test_a_bad_signature_is_refused_and_nothing_is_kept(engine: Engine, case: Case) -> None:
    """By another secret, or none at all."""
    club = plugged_in(engine, case)
    body = json.dumps(case.deliveries[0][1]).encode()
    with pytest.raises(BadSignature):
        receive(club, case, body, "another secret")
    looks = looks_for(club.engine.url.render_as_string(hide_password=False))
    with pytest.raises(BadSignature):
        receiving.receive(club.engine, looks, case.new.kind, club.biller_id, body, {})
    assert club.states() == {}


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b"null", b'{"id": 5}'])
@every_adapter
def test_what_can_not_be_read_is_kept_with_its_reason(engine: Engine, case: Case, body: bytes) -> None:
    """It is well signed, so its biller is not asked to send it again."""
    club = plugged_in(engine, case)
    receive(club, case, body)
    assert {(state, code) for state, code, _ in club.why()} == {("refused", "not_an_event")}
    translated(club)
    assert club.facts() == []


@every_adapter
def test_reconcile_finds_what_was_lost(engine: Engine, case: Case, fake: FakeStripe) -> None:
    """Where there is an API; where there is none it says so."""
    club = plugged_in(engine, case)
    if not case.askable:
        with transaction(engine, club.brand_id) as connection, pytest.raises(Conflict):
            reconciling.start(connection, club.brand_id, club.biller_id)
        return
    fake.happen(body for _, body in case.deliveries)
    chance = random.Random(case.name)
    send(club, case, [number for number in range(len(case.deliveries)) if chance.random() >= 0.2])
    translated(club)
    club.settle(case.settled_at)
    assert reconcile(club)["state"] == "finished"
    club.settle(case.settled_at)
    assert club.credits_of(case.membership_id) == case.owed


def test_every_kind_of_biller_has_a_case() -> None:
    """Whoever adds an adapter adds what shows that it conforms."""
    assert {case.new.kind for case in CASES} == set(versions())


@every_adapter
def test_who_has_an_api_is_given_a_key(engine: Engine, case: Case) -> None:
    """A key to what can not be asked is refused."""
    club = plugged_in(engine, case)
    with transaction(engine, club.brand_id) as connection:
        assert isinstance(adapter_of(billers.get(connection, club.brand_id, club.biller_id)), Askable) is case.askable
        with contextlib.nullcontext() if case.askable else pytest.raises(Invalid):
            billers.create(connection, club.brand_id, case.new._replace(api_key="rk_of_nothing"))

"""Billers' deliveries: one that can not be translated takes no other with it, and is tried again when it may help."""

import json
import time
from contextlib import nullcontext
from datetime import datetime

import pytest
from sqlalchemy import Engine, text

from issuance.billers import attempts, billers, deliveries, receiving, translation
from issuance.billers.adapter import Unmappable
from issuance.billers.stripe.adapter import Stripe
from issuance.billers.stripe.payloads import Item
from issuance.database.connections import transaction
from issuance.health import figures
from tests.database.stripes import Club, new_club
from tests.limits import Limit
from tests.stripe import sequences
from tests.stripe.lives import Life, item, stamp

EVENTS = sequences()[0]["stripe_events"]
_SIZES = text("""
    SELECT octet_length(body) FROM biller_deliveries WHERE brand_id = :brand_id ORDER BY received_at, delivery_id
""")
_ATTEMPTS = text("SELECT delivery_id, attempts FROM biller_deliveries WHERE brand_id = :brand_id")


@pytest.fixture
def club(engine: Engine) -> Club:
    club = new_club(engine)
    club.map("price_gold")
    return club


def counted(club: Club) -> dict[str, int]:
    with transaction(club.engine, club.brand_id) as connection:
        return {row.delivery_id: row.attempts for row in connection.execute(_ATTEMPTS, {"brand_id": club.brand_id})}


def test_one_that_kills_its_worker_is_set_apart_alone(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its neighbours are translated, however often it dies."""
    club.deliver(EVENTS)
    killer, work_on = EVENTS[3]["id"], translation.work_on

    def dies(connection: object, biller: object, pending: list[deliveries.Delivery]) -> translation.Translated:
        if any(one.delivery_id == killer for one in pending):
            raise KeyboardInterrupt
        return work_on(connection, biller, pending)  # type: ignore[arg-type]

    monkeypatch.setattr(translation, "work_on", dies)
    # Two times all of them die with it; then it is alone.
    for _ in range(attempts.MOST_ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            club.translate(most=4)
    club.translate()
    states = club.states()
    assert states.pop(killer) == "unmappable"
    assert set(states.values()) == {"translated"}
    monkeypatch.undo()
    with transaction(club.engine, club.brand_id) as connection:
        assert deliveries.retry(connection, club.brand_id, club.biller_id) == 1
    club.translate()
    assert club.why() == set()


def test_one_that_fails_is_set_apart_and_its_neighbours_go_on(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of the adapter: it is tried again when the adapter is mended, and not before."""
    club.deliver(EVENTS)
    failing, work_on = EVENTS[3]["id"], translation.work_on

    def fails(connection: object, biller: object, pending: list[deliveries.Delivery]) -> translation.Translated:
        if any(one.delivery_id == failing for one in pending):
            raise ZeroDivisionError
        return work_on(connection, biller, pending)  # type: ignore[arg-type]

    monkeypatch.setattr(translation, "work_on", fails)
    club.translate()
    assert club.why() == {("unmappable", "error", None)}
    with transaction(club.engine) as connection:
        assert deliveries.retry_mended(connection, "stripe", 1, most=100) == 0
        assert deliveries.retry_mended(connection, "stripe", 2, most=100) >= 1
    monkeypatch.undo()
    club.translate()
    assert club.why() == set()


def test_a_biller_that_has_gone_silent_is_counted(club: Club) -> None:
    """Only where memberships are active, and after a day."""
    club.deliver(EVENTS)
    club.translate()
    club.settle("2031-03-20T00:00:00Z")

    def silent() -> float:
        with transaction(club.engine) as connection:
            return figures(connection)["billers_silent"]

    before = silent()
    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(text("UPDATE billers SET heard_at = heard_at - interval '25 hours'"))
        biller = billers.get(connection, club.brand_id, club.biller_id)
    assert silent() == before + 1
    receiving.keep(club.engine, biller, json.dumps(EVENTS[0]).encode())
    assert silent() == before


def test_that_a_biller_is_heard_is_noted_to_the_minute_and_nobody_waits_for_it(club: Club) -> None:
    body = json.dumps(EVENTS[0]).encode()

    def kept() -> datetime:
        with transaction(club.engine, club.brand_id) as connection:
            biller = billers.get(connection, club.brand_id, club.biller_id)
        receiving.keep(club.engine, biller, body)
        with transaction(club.engine, club.brand_id) as connection:
            return billers.get(connection, club.brand_id, club.biller_id).heard_at

    with transaction(club.engine, club.brand_id) as connection:
        long_ago = connection.scalar(
            text("UPDATE billers SET heard_at = heard_at - interval '1 day' RETURNING heard_at")
        )
    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(text("SELECT FROM billers FOR NO KEY UPDATE"))
        assert kept() == long_ago
    heard = kept()
    assert heard > long_ago
    assert kept() == heard


def test_few_bytes_are_translated_together(club: Club, limit: Limit) -> None:
    """Five hundred deliveries of a megabyte each would not fit into memory; one of any size is translated."""
    club.deliver(EVENTS[:4])
    with transaction(club.engine, club.brand_id) as connection:
        sizes = connection.scalars(_SIZES, {"brand_id": club.brand_id}).all()
        limit("billers", claimed_bytes=sizes[0] + 1)
        assert len(attempts.claim(connection, club.brand_id, club.biller_id, most=500)) == 2
        limit("billers", claimed_bytes=1)
        assert len(attempts.claim(connection, club.brand_id, club.biller_id, most=500)) == 1


def test_a_page_of_deliveries_has_a_size_whatever_they_say(club: Club) -> None:
    """What JSON writes with six bytes each is not shown, nor what is no text."""
    with transaction(club.engine, club.brand_id) as connection:
        for number, body in enumerate((b"\x01" * 99_999, b"\xff" * 99_999, b'"' * 99_999)):
            deliveries.store(connection, club.brand_id, club.biller_id, f"d{number}", body)
        rows, _ = deliveries.page(connection, club.brand_id, club.biller_id, 1, 100)
    assert len(rows) == 3
    assert max(len(json.dumps(row["body"], ensure_ascii=False).encode()) for row in rows) < 40_000


def test_of_what_is_set_aside_so_much_is_kept(club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """Beyond it nothing more of the brand's is taken, and its biller is told to come again. In a minute it is looked at
    anew."""
    body = json.dumps(EVENTS[0]).encode()
    size = len(body) + 1000
    with transaction(club.engine, club.brand_id) as connection:
        biller = billers.get(connection, club.brand_id, club.biller_id)
        deliveries.store(connection, club.brand_id, club.biller_id, "odd", body, Unmappable("odd", "it is"))
    for most, taken in ((size + 1, True), (size, False)):
        limit("billers", set_aside=most)
        monkeypatch.setattr(receiving, "_rooms", {})
        with nullcontext() if taken else pytest.raises(receiving.TooMuchSetAside):
            receiving.keep(club.engine, biller, body)
    limit("billers", set_aside=size + 1)
    with pytest.raises(receiving.TooMuchSetAside):
        receiving.keep(club.engine, biller, body)
    monkeypatch.setattr(receiving, "monotonic", lambda: time.monotonic() + receiving.ROOM_IS_KNOWN_FOR + 1)
    receiving.keep(club.engine, biller, body)


def test_a_daily_price_is_shown_until_it_can_be_a_membership(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """No membership is billed by days: it is said of which price that is. Where the price is ignored nothing is owed,
    and whoever changes to a monthly one signs up then. Where the adapter is mended, what it could not read is read."""
    daily, changed = (Life(name, items=[item(f"si_{name}", "price_gold_day")]) for name in ("daily", "changed"))
    changed.change_price("2031-02-10 09:00", "price_gold", billing_cycle_anchor=stamp("2031-02-10 09:00"))
    ignoring, mended = new_club(engine), new_club(engine)
    for club in (ignoring, mended):
        club.map("price_gold")
        club.map("price_gold_day")
        club.deliver([*daily.events, *changed.events])
        club.translate()
        assert {(state, code, key) for state, code, key in club.why()} >= {
            ("unmappable", "no_frequency", "price_gold_day")
        }
        assert club.facts() == []
    ignoring.map("price_gold_day", None)
    ignoring.translate()
    assert ignoring.why() == set()
    ((kind, at, _, said),) = ignoring.facts()
    assert (kind, at.date().isoformat(), said["starts_on"]) == ("membership.signed_up", "2031-02-10", "2031-02-10")
    with monkeypatch.context() as patched:
        patched.setattr(Item, "frequency", "P1W")
        with transaction(engine) as connection:
            assert deliveries.retry_mended(connection, "stripe", Stripe.version + 1, most=100) >= 2
        mended.translate()
    assert [fact[0] for fact in mended.facts("sub_daily", "si_daily")] == ["membership.signed_up"]

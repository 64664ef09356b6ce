"""A look of the scheduler: each part of it fails alone, and one brand's trouble is that brand's."""

from uuid import UUID

import pytest
from dramatiq.brokers.stub import StubBroker
from sqlalchemy import Connection, Engine, text

from issuance import hints
from issuance.billers import reconciling
from issuance.billers.billers import New
from issuance.database.connections import transaction
from issuance.tenancy import sealing
from scheduler import tick
from tests.database.stripes import Club, new_club
from tests.database.test_mapped import MAPPING
from tests.stripe import SECRET
from tests.stripe.fake import KEY

_DAYS_AGO = text("UPDATE billers SET created_at = now() - interval '2 days' WHERE brand_id = :brand_id")
_RUNS = text("SELECT count(*) FROM runs WHERE brand_id = :brand_id AND kind = 'reconcile'")


def look(engine: Engine) -> tick.Tick:
    broker = StubBroker(middleware=[])
    for queue in hints.QUEUES:
        broker.declare_queue(queue)
    return tick.run_once(engine, broker)


def plugged_in(engine: Engine, new: New) -> Club:
    """A club whose biller was plugged in two days ago: a night was missed."""
    club = new_club(engine, new=new)
    with transaction(engine, club.brand_id) as connection:
        connection.execute(_DAYS_AGO, {"brand_id": club.brand_id})
    return club


def nights(club: Club) -> int:
    with transaction(club.engine, club.brand_id) as connection:
        return int(connection.scalar(_RUNS, {"brand_id": club.brand_id}) or 0)


def test_a_key_to_what_can_not_be_asked_holds_up_nobody(engine: Engine) -> None:
    """One that was kept before it was refused ended every look, in all brands, before anything was translated."""
    mapped = plugged_in(engine, New("mapped", ["user:password"], mapping=MAPPING))
    other = plugged_in(engine, New("stripe", [SECRET], KEY))
    with transaction(engine, mapped.brand_id) as connection:
        sealed = {"key": sealing.seal(connection, b"a key to nothing"), "biller_id": mapped.biller_id}
        connection.execute(text("UPDATE billers SET api_key = :key WHERE biller_id = :biller_id"), sealed)
    look(engine)
    assert (nights(mapped), nights(other)) == (0, 1)


def test_a_night_that_can_not_be_planned_is_one_brands(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    clubs = [plugged_in(engine, New("stripe", [SECRET], KEY)) for _ in range(3)]
    start = reconciling.start

    def refused(connection: Connection, brand_id: UUID, biller_id: UUID, *, nightly: bool) -> UUID:
        if brand_id == clubs[1].brand_id:
            connection.execute(text("SELECT 1 / 0"))
        return start(connection, brand_id, biller_id, nightly=nightly)

    monkeypatch.setattr(reconciling, "start", refused)
    look(engine)
    assert [nights(club) for club in clubs] == [1, 0, 1]


def test_each_part_of_a_tick_fails_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look fails, and is told of, when all the others have had their turn."""
    club = plugged_in(engine, New("stripe", [SECRET], KEY))

    def broken(*_: object, **__: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr("issuance.engine.sweeps.brands_with_due", broken)
    monkeypatch.setattr("issuance.billers.deliveries.look_again", broken)
    asked: list[UUID] = []
    monkeypatch.setattr(hints, "ask_biller", lambda _, brand_id, __: asked.append(brand_id))
    with pytest.raises(ValueError, match="broken"):
        look(engine)
    assert nights(club) == 1
    assert club.brand_id in asked

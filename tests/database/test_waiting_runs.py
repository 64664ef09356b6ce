"""Whose run has the next worker: workers are shared between brands, whatever waits in the queue (docs/decisions 57)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from dramatiq.brokers.stub import StubBroker
from sqlalchemy import text

from issuance import hints, limits
from issuance.database.connections import transaction
from issuance.engine import batches, waiting_runs
from issuance.tenancy import brands
from scheduler import tick
from tests.database.clubs import Club
from worker import actors


@pytest.fixture
def site(new_club: Callable[..., Club]) -> Club:
    """A club on a database of its own, to which others are added."""
    return new_club()


def another(site: Club) -> UUID:
    with transaction(site.engine) as connection:
        return brands.create(connection, name="another", timezone="UTC", sandbox=True)[0]


def run(site: Club, brand_id: UUID, *claimed: str | None, made: str = "1 hour", state: str = "running") -> UUID:
    """A run, made so long ago, with a batch for each of `claimed`: how long ago it was; None: not at all."""
    run_id = uuid4()
    with transaction(site.engine, brand_id) as connection:
        connection.execute(
            text(
                "INSERT INTO runs (brand_id, run_id, kind, state, from_date, to_date, started_at, created_at)"
                " VALUES (:brand_id, :run_id, 'replay', :state, '2031-01-01', '2031-01-01', now(),"
                "         clock_timestamp() - CAST(:made AS interval))"
            ),
            {"brand_id": brand_id, "run_id": run_id, "state": state, "made": made},
        )
        for number, ago in enumerate(claimed, 1):
            connection.execute(
                text(
                    "INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size, claimed_at)"
                    " VALUES (:brand_id, :run_id, :number, :run_id, :run_id, 1,"
                    "         clock_timestamp() - CAST(:ago AS interval))"
                ),
                {"brand_id": brand_id, "run_id": run_id, "number": number, "ago": ago},
            )
    return run_id


def first(site: Club, brand_id: UUID, run_id: UUID) -> UUID:
    """Which run comes first where another was asked for."""
    with transaction(site.engine) as connection:
        return waiting_runs.first(connection, brand_id, run_id)[1]


def test_the_brand_with_the_fewest_batches_under_way_comes_first(site: Club) -> None:
    """However many runs another has, and whoever came before. Of equals, whoever has waited longest."""
    greedy, modest = site.brand_id, another(site)
    busy = run(site, greedy, "1 second", None)
    for _ in range(20):
        run(site, greedy, None)
    assert first(site, greedy, busy) != busy, "its own others have waited longer"
    theirs = run(site, modest, None, None, made="1 minute")
    assert first(site, greedy, busy) == theirs
    site.rows(
        "UPDATE run_batches SET claimed_at = clock_timestamp() - interval '2 seconds' WHERE run_id = :id AND batch = 1",
        id=busy,
    )
    with transaction(site.engine, modest) as connection:
        connection.execute(text("UPDATE run_batches SET claimed_at = clock_timestamp() WHERE batch = 1"))
    assert first(site, modest, theirs) != theirs, "they have one each: whose was claimed longer ago comes first"


def test_a_run_that_has_nothing_left_is_looked_at_itself(site: Club) -> None:
    """Else the hint for it would be sent for ever. A batch of a dead worker's is left, one under way is not."""
    greedy, modest = site.brand_id, another(site)
    theirs = run(site, modest, None)
    for nothing_left in (run(site, greedy, "1 second"), run(site, greedy, None, state="paused"), uuid4()):
        assert first(site, greedy, nothing_left) == nothing_left
    assert first(site, greedy, run(site, greedy, "6 seconds")) == theirs, "it was claimed within a minute, and may be"
    assert first(site, greedy, run(site, greedy, state="planned")) == theirs, "it is not cut into batches yet"


def test_a_worker_gives_the_slice_to_whoever_comes_first(
    site: Club, broker: StubBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though only the other brand's hints wait; these stay. It looks once a slice, and the other way round as well."""
    greedy, modest = site.brand_id, another(site)
    theirs = run(site, modest, None)
    busy = run(site, greedy, "1 second", None)
    done: list[UUID] = []

    def work(_: Any, brand_id: UUID, run_id: UUID) -> batches.Worked:
        done.append(run_id)
        return real(site.engine, brand_id, run_id)

    real = batches.work_on_run
    monkeypatch.setattr(batches, "work_on_run", work)
    ours = actors.Actors(site.engine, broker)
    ours.work_on_run(str(greedy), str(busy))
    assert done[0] == theirs
    assert busy in done, "the other had too little for a slice"
    done.clear()
    ours.work_on_run(str(greedy), str(busy))
    assert set(done) == {busy}, "it has just looked"


def test_hints_for_runs_do_not_pile_up(site: Club, redis_url: str) -> None:
    """Of fifty runs that wait for their workers the scheduler asks for no more than the queue has room for."""
    for _ in range(50):
        run(site, site.brand_id, *[None] * 10)
    broker = hints.broker_for(redis_url)
    broker.flush(hints.BULK_QUEUE)
    for _ in range(20):
        tick.run_once(site.engine, broker)
    waiting = hints.waiting(broker)
    assert waiting is not None
    assert waiting[hints.BULK_QUEUE] == limits.current.hints.waiting_for_runs
    broker.flush(hints.BULK_QUEUE)

"""A look at many brands costs few statements, and each brand has what it would have had by itself."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, event, text

from issuance.billers import asking, deliveries
from issuance.database import transaction
from issuance.engine import sweeps
from issuance.tenancy import brands
from scheduler import tick
from tests.database.clubs import at
from tests.limits import Limit

NOON = at("2031-01-31T12:00")


@pytest.fixture
def made(engine: Engine) -> Iterator[list[UUID]]:
    """Brands, all of whose runs and schedules are gone after the test."""
    ids: list[UUID] = []
    yield ids
    with transaction(engine) as connection:
        for table in ("run_batches", "runs", "schedules"):
            connection.execute(text(f"DELETE FROM {table} WHERE brand_id = ANY(:ids)"), {"ids": ids})


def with_schedules(engine: Engine, now: datetime, due: int, later: int = 1) -> UUID:
    """A brand whose clock stands at `now`, with so many memberships that are due by then, and later."""
    with transaction(engine) as connection:
        brand_id, _ = brands.create(connection, name="one of many", timezone="UTC", sandbox=True)
        connection.execute(
            text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id"), {"now": now, "brand_id": brand_id}
        )
        for due_at, number in ((now - timedelta(seconds=1), due), (now + timedelta(seconds=1), later)):
            connection.execute(
                text(
                    "INSERT INTO schedules (brand_id, schedule_id, due_at)"
                    " SELECT :brand_id, gen_random_uuid(), :due_at FROM generate_series(1, :number)"
                ),
                {"brand_id": brand_id, "due_at": due_at, "number": number},
            )
    return brand_id


def planned(connection: Connection) -> list[Any]:
    return list(
        connection.execute(
            text("""
                SELECT r.brand_id, r.kind, r.state, r.total, b.batch, b.first_id, b.last_id, b.size
                  FROM runs r LEFT JOIN run_batches b USING (brand_id, run_id)
                 ORDER BY r.brand_id, r.created_at, b.batch
            """)
        )
    )


def test_sweeps_planned_together_are_those_of_each_brand_by_itself(
    engine: Engine, made: list[UUID], connection: Connection, limit: Limit
) -> None:
    """Each by its own clock, in batches of its own; who has nothing due or has a sweep already gets none."""
    limit("settling", batch=3, smallest_batch=1, fewest_batches=2)
    clocks = {with_schedules(engine, NOON + day * timedelta(days=1), due): day for day, due in enumerate((7, 0, 1, 4))}
    asked = {brand_id: NOON + day * timedelta(days=1) for brand_id, day in clocks.items()}
    made += asked
    swept = list(asked)[-1]
    with transaction(engine, swept) as before:
        assert sweeps.plan(before, swept, asked[swept]) is not None
    with connection.begin_nested() as first:
        alone = {brand_id: sweeps.plan(connection, brand_id, now) for brand_id, now in asked.items()}
        by_itself = planned(connection)
        first.rollback()
    together = sweeps.plan_all(connection, asked)
    assert planned(connection) == by_itself
    batches = {brand_id: sweep.batches for brand_id, sweep in together.items()}
    assert batches == {brand_id: sweep.batches for brand_id, sweep in alone.items() if sweep is not None}
    assert sorted(batches.values()) == [1, 3]


def test_a_look_at_many_brands_takes_as_many_statements_as_at_one(engine: Engine, made: list[UUID]) -> None:
    """However many brands have something due at once: they are planned together."""
    statements: list[str] = []

    def note(*call: Any) -> None:
        statements.append(str(call[1]))

    def looked(number: int) -> int:
        fresh = [with_schedules(engine, NOON, due=2) for _ in range(number)]
        made.extend(fresh)
        statements.clear()
        event.listen(engine, "before_execute", note)
        try:
            assert len(tick._planned(engine, dict.fromkeys(fresh, NOON))) == number
        finally:
            event.remove(engine, "before_execute", note)
        return len(statements)

    assert looked(1) == looked(30)


def test_one_brands_trouble_is_not_the_others(engine: Engine, made: list[UUID]) -> None:
    """A sweep that PostgreSQL refuses is tried again at the next look; the other brands have theirs in this one."""
    made += [with_schedules(engine, NOON, due=2) for _ in range(5)]
    more_than_a_run_counts = """
        UPDATE schedules SET size = 2147483647, shared = true, settled_at = due_at, fingerprint = gen_random_uuid()
         WHERE brand_id = :bad
    """
    with transaction(engine) as connection:
        connection.execute(text(more_than_a_run_counts), {"bad": made[2]})
    others = {*made} - {made[2]}
    assert tick._planned(engine, dict.fromkeys(made, NOON)).keys() == others
    with transaction(engine) as connection:
        assert {row.brand_id for row in planned(connection)} & {*made} == others


#: One membership of a brand with news, and one biller with a webhook to translate and one to ask for.
FORGOTTEN = (
    "INSERT INTO schedules (brand_id, schedule_id) VALUES (:brand_id, :one)",
    """INSERT INTO billing_events (brand_id, source, event_id, type, time, membership_id, data, received_at)
       VALUES (:brand_id, 's', :one, 'membership.status_changed', :long_ago, :one, '{}', :long_ago)""",
    "INSERT INTO billers (brand_id, biller_id, kind, secrets) VALUES (:brand_id, :one, 'stripe', '{s}')",
    """INSERT INTO biller_deliveries
              (brand_id, biller_id, delivery_id, body, state, received_at, next_at, waits_for, code, message)
       VALUES (:brand_id, :one, 'p', '', 'pending', :long_ago, NULL, NULL, NULL, NULL),
              (:brand_id, :one, 'a', '', 'asking', :long_ago, :long_ago, 'in_1', 'asking', 'it is asked for')""",
)


def test_brands_take_turns_in_what_was_forgotten(connection: Connection) -> None:
    """However much of one brand's waits, a look finds as much of another's: events that nobody settled, and webhooks of
    billers that are to be translated or asked for. Of other tests' brands there is something too."""
    greedy, modest = (brands.create(connection, name="of two", timezone="UTC", sandbox=True)[0] for _ in range(2))
    for brand_id, number in ((greedy, 9), (modest, 2)):
        for _ in range(number):
            said = {"brand_id": brand_id, "one": uuid4(), "long_ago": NOON.replace(year=2020)}
            for statement in FORGOTTEN:
                connection.execute(text(statement), said)
    looks: tuple[Callable[[int], Iterable[UUID]], ...] = (
        lambda most: [
            brand_id
            for brand_id, ids in sweeps.unsettled(connection, older_than="1 second", most=most).items()
            for _ in ids
        ],
        lambda most: [one for one, _ in deliveries.with_pending(connection, older_than="1 second", most=most)],
        lambda most: [one for one, _ in asking.due(connection, most=most)],
    )
    for look in looks:
        found = [(of[greedy], of[modest]) for of in (Counter(look(2**size)) for size in range(1, 13))]
        assert all(theirs >= min(ours - 1, 2) for ours, theirs in found), found
        assert found[-1] == (9, 2)

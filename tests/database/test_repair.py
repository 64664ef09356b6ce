"""Repair (`issuance check --repair`): what is missing is issued by a run, what sleeps is woken, nothing is taken."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from issuance import audit, health
from issuance.billing.events import Intake
from issuance.database.connections import transaction
from issuance.engine import arrivals, batches, runs
from issuance.laws import LAWS, look, verdicts
from issuance.laws.repair import Repair
from issuance.tenancy import brands
from tests.database.conftest import event, put_clock

NOW = datetime(2090, 4, 15, tzinfo=UTC)


@pytest.fixture
def members(
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    signed_up: Callable[..., dict[str, Any]],
    accept: Callable[..., Intake],
) -> list[UUID]:
    """Three memberships with a credit for April each."""
    with transaction(engine, brand_id) as connection:
        put_clock(connection, brand_id, NOW)
    members = sorted(uuid4() for _ in range(3))
    for one in members:
        data = {"membership_id": str(one), "charge_id": str(one), "period_start": "2090-04-01"}
        accept(
            {**signed_up(one, starts_on="2090-03-01"), "time": "2090-03-01T09:00:00Z"},
            event("charge.initiated", data, time="2090-04-01T09:00:00Z"),
        )
    arrivals.settle_soon(engine, brand_id, members)
    return members


def found_by_the_laws(engine: Engine, brand_id: UUID) -> tuple[Repair, int]:
    repair, count = Repair(), 0
    with transaction(engine, brand_id) as connection:
        for found in look(connection, brand_id, LAWS):
            repair.note(found)
            count += sum(len(offenders) for offenders in found.values())
    return repair, count


def test_repair_issues_what_is_missing_and_takes_nothing(engine: Engine, brand_id: UUID, members: list[UUID]) -> None:
    """Two lost credits come back by one replay; a credit that nothing released is left for the operator."""
    with transaction(engine, brand_id) as connection:
        connection.execute(text("DELETE FROM credits WHERE membership_id = ANY(:lost)"), {"lost": members[:2]})
        unpaid = "DELETE FROM billing_events WHERE membership_id = :one AND type = 'charge.initiated'"
        connection.execute(text(unpaid), {"one": members[2]})
    repair, count = found_by_the_laws(engine, brand_id)
    assert count == 4, "two that are missing; one that nothing released, whose membership shows a status of its own"
    with transaction(engine, brand_id) as connection:
        run_id = repair.start(connection, brand_id)
    assert run_id is not None
    batches.work_on_run(engine, brand_id, run_id)
    with transaction(engine, brand_id) as connection:
        run = runs.read(connection, brand_id, run_id)
        live = connection.execute(
            text("SELECT count(*) FROM credits WHERE brand_id = :b AND revoked_at IS NULL"), {"b": brand_id}
        )
        assert (run["kind"], run["state"], run["counts"]["issued"]) == ("replay", "finished", 2)
        assert live.scalar_one() == 3
    repair, count = found_by_the_laws(engine, brand_id)
    assert count == 2, "what was not missing"
    with transaction(engine, brand_id) as connection:
        assert repair.start(connection, brand_id) is None


def test_a_repair_is_narrowed_to_what_is_missing(engine: Engine, brand_id: UUID, members: list[UUID]) -> None:
    """One membership's credit is looked for in that membership only."""
    with transaction(engine, brand_id) as connection:
        connection.execute(text("DELETE FROM credits WHERE membership_id = :lost"), {"lost": members[0]})
    repair, _ = found_by_the_laws(engine, brand_id)
    with transaction(engine, brand_id) as connection:
        run_id = repair.start(connection, brand_id)
        assert run_id is not None
        run = runs.read(connection, brand_id, run_id)
    assert (run["membership_id"], str(run["from"]), str(run["to"])) == (members[0], "2090-04-01", "2090-04-01")
    batches.work_on_run(engine, brand_id, run_id)
    assert found_by_the_laws(engine, brand_id)[1] == 0


def test_repair_wakes_what_would_sleep(engine: Engine, brand_id: UUID, members: list[UUID]) -> None:
    """A membership whose due instant was lost is settled again, and knows its next one."""
    with transaction(engine, brand_id) as connection:
        connection.execute(text("UPDATE schedules SET due_at = NULL WHERE schedule_id = :one"), {"one": members[1]})
    repair, count = found_by_the_laws(engine, brand_id)
    assert count == 1
    with transaction(engine, brand_id) as connection:
        assert repair.start(connection, brand_id) is None
        assert audit.page(connection, brand_id, 1, 1)[0][0]["after"] == {"woken": 1}
    arrivals.settle_soon(engine, brand_id, members)
    assert found_by_the_laws(engine, brand_id)[1] == 0


def test_metrics_carry_what_the_last_check_found(connection: Connection, brand_id: UUID) -> None:
    """Expected less issued, by the last check of each brand: a later one replaces it."""
    connection.execute(text("DELETE FROM verdicts"))
    verdicts.keep(connection, brand_id, {2: 7, 3: 2, 4: 0})
    found = health.figures(connection)
    assert (found["credits_missing"], found["credits_extra"], found["laws_broken"]) == (7, 2, 2)
    verdicts.keep(connection, brand_id, {2: 0, 3: 0})
    after = health.figures(connection)
    assert (after["credits_missing"], after["credits_extra"], after["laws_broken"]) == (0, 0, 0)


def test_metrics_tell_how_long_ago_the_brand_was_checked_that_waits_longest(
    engine: Engine, connection: Connection, brand_id: UUID
) -> None:
    """Seconds since the last check of the brand whose last check is the oldest; a new check of it starts them again.
    One that was never checked counts from when it was made."""
    with transaction(engine) as making:
        recent, _ = brands.create(making, name="recent", timezone="UTC", sandbox=True)
    connection.execute(text("DELETE FROM verdicts"))
    connection.execute(text("INSERT INTO verdicts (brand_id, law, offenders) SELECT brand_id, 1, 0 FROM brands"))
    for one in (brand_id, recent):
        verdicts.keep(connection, one, {1: 0, 2: 0})
    two_hours_ago = text("UPDATE verdicts SET checked_at = checked_at - interval '2 hours' WHERE brand_id = :brand_id")
    connection.execute(two_hours_ago, {"brand_id": brand_id})
    assert 7200 <= health.figures(connection)["last_check_seconds"] < 7260
    verdicts.keep(connection, brand_id, {1: 0})
    assert 0 < health.figures(connection)["last_check_seconds"] < 60
    connection.execute(text("DELETE FROM verdicts WHERE brand_id = :brand_id"), {"brand_id": recent})
    earlier = text("UPDATE brands SET created_at = created_at - interval '3 days' WHERE brand_id = :brand_id")
    connection.execute(earlier, {"brand_id": recent})
    assert 3 * 86_400 <= health.figures(connection)["last_check_seconds"] < 3 * 86_400 + 60

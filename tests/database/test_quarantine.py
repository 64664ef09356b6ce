"""Memberships that were set apart wait for the operator, who lets them out."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, func, select, text, update

from issuance import health
from issuance.billing.events import Intake
from issuance.database.connections import transaction
from issuance.database.tables import schedules
from issuance.engine import quarantine
from issuance.errors import NotFound
from issuance.tenancy import clock


@pytest.fixture
def quarantined(
    engine: Engine, brand_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]
) -> UUID:
    """A membership that failed five times, beside one that did not."""
    membership_id = uuid4()
    accept(signed_up(membership_id), signed_up())
    with transaction(engine, brand_id) as connection:
        failed = {"attempts": 5, "quarantined_at": func.now(), "retry_at": func.now(), "last_error": "ValueError"}
        connection.execute(update(schedules).where(schedules.c.schedule_id == membership_id).values(failed))
    return membership_id


def test_the_operator_sees_what_was_set_apart(engine: Engine, brand_id: UUID, quarantined: UUID) -> None:
    with transaction(engine, brand_id) as connection:
        rows, total = quarantine.page(connection, brand_id, 1, 25)
    assert total == 1
    assert (rows[0]["membership_id"], rows[0]["attempts"], rows[0]["last_error"]) == (quarantined, 5, "ValueError")


def test_let_out_it_is_due_at_once_with_new_attempts(engine: Engine, brand_id: UUID, quarantined: UUID) -> None:
    with transaction(engine, brand_id) as connection:
        quarantine.retry(connection, brand_id, quarantined)
    with transaction(engine, brand_id) as connection:
        row = connection.execute(select(schedules).where(schedules.c.schedule_id == quarantined)).one()
        now = clock.read(connection, brand_id).now
        assert (row.attempts, row.retry_at, row.quarantined_at) == (0, None, None)
        assert row.due_at <= now
        assert quarantine.page(connection, brand_id, 1, 25) == ([], 0)
    with pytest.raises(NotFound), transaction(engine, brand_id) as connection:
        quarantine.retry(connection, brand_id, quarantined)


def test_what_is_in_quarantine_waits_for_a_person_and_is_no_event_that_waits(
    connection: Connection, quarantined: UUID
) -> None:
    """The figures of unsettled events tell of those that somebody is about to settle; what is set apart has its own."""
    ids, years = {"membership_id": quarantined}, 20 * 365 * 86_400
    connection.execute(
        text("UPDATE billing_events SET received_at = '2001-01-01' WHERE membership_id = :membership_id"), ids
    )
    apart = health.figures(connection)
    assert apart["oldest_unsettled_event_seconds"] < years
    connection.execute(
        text("UPDATE schedules SET quarantined_at = NULL, retry_at = NULL WHERE schedule_id = :membership_id"), ids
    )
    out = health.figures(connection)
    assert out["oldest_unsettled_event_seconds"] > years
    assert out["events_unsettled"] == apart["events_unsettled"] + 1
    assert out["memberships_quarantined"] == apart["memberships_quarantined"] - 1

"""What settling does to credits is told, once, with the credit as the API shows it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, text

from issuance.billing.events import Intake
from issuance.corrections import desk
from issuance.corrections.wanted import Revoke
from issuance.credits import lists
from issuance.database.connections import transaction
from issuance.database.tables import webhook_events
from issuance.engine import arrivals, batches, sweeps
from issuance.tenancy import clock
from issuance.webhooks import webhooks
from tests.database.conftest import event
from tests.hooks import ALL_BUT_REMINDERS

PARTY = [
    {"name": "Ada", "external_user_id": "ada", "lead_booker": True},
    {"name": "Bea", "lead_booker": False},
]


@pytest.fixture
def listening(engine: Engine, brand_id: UUID) -> None:
    """A webhook that listens to everything."""
    with transaction(engine, brand_id) as connection:
        webhooks.create(connection, brand_id, "https://example.com/", ALL_BUT_REMINDERS)


@pytest.fixture
def at(engine: Engine, brand_id: UUID) -> Callable[[str], None]:
    """Sets the brand's clock and sweeps what is due, here in this process."""

    def move(now: str) -> None:
        with transaction(engine, brand_id) as connection:
            moved = {"now": datetime.fromisoformat(now).replace(tzinfo=UTC), "brand_id": brand_id}
            connection.execute(text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id"), moved)
        with transaction(engine, brand_id) as connection:
            sweep = sweeps.plan(connection, brand_id, clock.read(connection, brand_id).now)
        while sweep is not None and batches.work_on_run(engine, brand_id, sweep.run_id).batch is not None:
            pass

    return move


@pytest.fixture
def join(
    engine: Engine, brand_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]
) -> Callable[[int], None]:
    """Signs up so many memberships with two guests each, and settles them."""

    def many(number: int) -> None:
        events = [
            signed_up(uuid4(), guests=[{**guest, "guest_id": str(uuid4())} for guest in PARTY], starts_on="2031-01-01")
            for _ in range(number)
        ]
        arrivals.settle_soon(engine, brand_id, accept(*events).membership_ids)

    return many


def told(engine: Engine, brand_id: UUID) -> list[Any]:
    with transaction(engine, brand_id) as connection:
        return list(connection.execute(select(webhook_events).order_by(webhook_events.c.event_id)))


def make_rule(engine: Engine, rule_id: UUID) -> None:
    """The rule of the fixture gives a credit on signing up, to the lead booker alone."""
    with transaction(engine) as connection:
        connection.execute(
            text("""
                UPDATE rule_versions SET issue_on_signup = true, for_lead_booker_only = true, created_at = '2030-01-01'
                 WHERE credit_rule_id = :id
            """),
            {"id": rule_id},
        )


def test_issued_skipped_and_expired(
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    listening: None,
    at: Callable[[str], None],
    join: Callable[[int], None],
) -> None:
    """A credit each for the lead bookers; others are skipped, with the reason; the end is told when it comes."""
    make_rule(engine, rule_id)
    at("2031-01-01T12:00")
    join(3)
    events = told(engine, brand_id)
    issued = [event.data for event in events if event.type == "credit.issued"]
    skipped = [event.data for event in events if event.type == "credit.skipped"]
    with transaction(engine, brand_id) as connection:
        out, _ = lists.page(connection, brand_id, 1, 25)
    assert {(data["id"], data["code"], data["guest"]["name"]) for data in issued} == {
        (str(credit["id"]), credit["code"], "Ada") for credit in out
    }
    assert {(data["membership_id"], data["guest"]["name"], data["reason"]) for data in skipped} == {
        (str(credit["membership_id"]), "Bea", "not_lead_booker") for credit in out
    }
    assert len(events) == 6
    at("2031-02-01T00:00")
    expired = [event for event in told(engine, brand_id) if event.type == "credit.expired"]
    assert {event.data["id"] for event in expired} == {data["id"] for data in issued}
    assert {event.data["status"] for event in expired} == {"expired"}
    assert {event.occurred_at for event in expired} == {datetime(2031, 2, 1, tzinfo=UTC)}


def test_settling_again_tells_nothing_again(
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    listening: None,
    at: Callable[[str], None],
    join: Callable[[int], None],
) -> None:
    """Nothing new, nothing told."""
    make_rule(engine, rule_id)
    at("2031-01-01T12:00")
    join(1)
    before = told(engine, brand_id)
    with transaction(engine, brand_id) as connection:
        ids = list(connection.scalars(text("SELECT membership_id FROM memberships")))
    arrivals.settle_soon(engine, brand_id, ids)
    assert told(engine, brand_id) == before


def test_the_operator_takes_back(
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    listening: None,
    at: Callable[[str], None],
    join: Callable[[int], None],
) -> None:
    """A revocation by hand is told with its reason."""
    make_rule(engine, rule_id)
    at("2031-01-01T12:00")
    join(1)
    with transaction(engine, brand_id) as connection:
        (credit,), _ = lists.page(connection, brand_id, 1, 25)
        desk.correct(connection, brand_id, Revoke(credit["code"], "a mistake"))[0]
    last = told(engine, brand_id)[-1]
    assert (last.type, last.data["revoked_reason"], last.data["status"]) == ("credit.revoked", "a mistake", "revoked")


def test_nobody_listens_nothing_is_written(
    engine: Engine, brand_id: UUID, rule_id: UUID, at: Callable[[str], None], join: Callable[[int], None]
) -> None:
    """Without a webhook the outbox stays empty."""
    make_rule(engine, rule_id)
    at("2031-01-01T12:00")
    join(2)
    assert told(engine, brand_id) == []


def test_taken_back_and_live_again(
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    listening: None,
    at: Callable[[str], None],
    accept: Callable[..., Intake],
    signed_up: Callable[..., dict[str, Any]],
) -> None:
    """A charge fails and succeeds after all: the same credit is told as revoked, with the reason, and as restored."""
    make_rule(engine, rule_id)
    at("2031-02-01T12:00")
    membership_id = uuid4()
    charge = {"membership_id": str(membership_id), "charge_id": str(membership_id), "period_start": "2031-02-01"}
    accept({**signed_up(membership_id), "time": "2031-01-01T09:00:00Z"})
    for hour, fact in enumerate(("initiated", "failed", "succeeded"), start=6):
        accept(event(f"charge.{fact}", charge, time=f"2031-02-01T{hour:02}:00:00Z"))
        arrivals.settle_soon(engine, brand_id, [membership_id])
    (credit,) = {row.data["id"] for row in told(engine, brand_id) if row.type == "credit.revoked"}
    assert [
        (row.type, row.data["status"], row.data["revoked_reason"])
        for row in told(engine, brand_id)
        if row.data.get("id") == credit
    ] == [
        ("credit.issued", "live", None),
        ("credit.revoked", "revoked", "charge_unpaid"),
        ("credit.restored", "live", None),
    ]

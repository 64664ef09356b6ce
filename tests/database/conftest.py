"""A brand of its own for each test, on a real PostgreSQL."""

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from campaigns.receiver import Receiver
from issuance.billing import events
from issuance.billing.events import Intake
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import engine_for, show, transaction
from issuance.tenancy import brands
from tests.database.beside import amid, beside
from tests.database.billers import biller
from tests.database.cli import brand, cli, membership_id
from tests.database.clubs import club, new_club, small_batches, whole
from tests.database.stripe_asked import asked, fake
from tests.hooks import Hook, listen, receiver

__all__ = [
    "amid",
    "asked",
    "beside",
    "biller",
    "brand",
    "cli",
    "club",
    "fake",
    "membership_id",
    "new_club",
    "receiver",
    "small_batches",
    "whole",
]

_number = itertools.count()


@pytest.fixture(scope="session")
def engine(database_url: str) -> Engine:
    return engine_for(database_url)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction that is undone after the test."""
    with engine.connect() as connection:
        show(connection, None)
        yield connection
        connection.rollback()


@pytest.fixture
def brand_id(engine: Engine) -> UUID:
    """A sandbox brand, committed."""
    with transaction(engine) as connection:
        return brands.create(connection, name="test", timezone="Europe/Lisbon", sandbox=True)[0]


@pytest.fixture
def other_brand_id(engine: Engine) -> UUID:
    """Another brand, which is called `other`, committed."""
    with transaction(engine) as connection:
        return brands.create(connection, name="other", timezone="UTC", sandbox=True)[0]


@pytest.fixture
def type_id(engine: Engine, brand_id: UUID) -> UUID:
    """A membership type of the brand, committed."""
    with transaction(engine) as connection:
        made: UUID = membership_types.create(connection, brand_id, NewMembershipType(name="Gold"))["id"]
        return made


@pytest.fixture
def rule_id(engine: Engine, brand_id: UUID, type_id: UUID) -> UUID:
    """A monthly rule of the brand with a coupon, committed."""
    body = {"name": "Spa", "description": "A day", "discount": {"type": "percent", "value": 10}}
    with transaction(engine) as connection:
        coupons.put(connection, brand_id, "spa", CouponBody.model_validate(body))
        new = NewCreditRule(membership_type_id=type_id, coupon_id="spa", coupon_name="Spa credit")
        made: UUID = rules.create(connection, brand_id, new)["id"]
        return made


def event(kind: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A CloudEvent with an id of its own."""
    envelope = {"specversion": "1.0", "id": f"e{next(_number)}", "source": "test", "time": "2031-01-01T09:00:00Z"}
    return {**envelope, "type": kind, "data": data, **more}


@pytest.fixture
def signed_up(type_id: UUID) -> Callable[..., dict[str, Any]]:
    """Makes sign-up events: `signed_up(membership_id, starts_on=…)`."""

    def make(membership_id: UUID | None = None, **data: Any) -> dict[str, Any]:
        ids = {"membership_id": str(membership_id or uuid4()), "membership_type_id": str(type_id)}
        return event("membership.signed_up", {**ids, "external_user_id": "ada", "starts_on": "2031-01-01", **data})

    return make


@pytest.fixture
def accept(engine: Engine, brand_id: UUID) -> Callable[..., Intake]:
    """Takes in events, and commits."""

    def take(*bodies: object) -> Intake:
        with transaction(engine, brand_id) as connection:
            return events.accept(connection, brand_id, bodies)

    return take


def put_clock(connection: Connection, brand_id: UUID, now: datetime) -> None:
    """Let a brand's clock stand at an instant; nothing is settled on the way."""
    put = text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id")
    connection.execute(put, {"now": now, "brand_id": brand_id})


@pytest.fixture
def hook(engine: Engine, brand_id: UUID, receiver: Receiver) -> Hook:
    """A webhook of the brand that tells the receiver of everything."""
    return listen(engine, brand_id, receiver)

"""Whoever calls is shown their own brand by PostgreSQL itself, whatever a query asks for."""

from uuid import UUID

from dramatiq.brokers.stub import StubBroker
from sqlalchemy import Engine, text

from issuance.api.callers import Caller
from issuance.database.connections import transaction
from issuance.tenancy import brands


def test_a_callers_work_sees_the_callers_brand_alone(engine: Engine, brand_id: UUID) -> None:
    """A filter that was forgotten shows nothing of others."""
    with transaction(engine) as connection:
        brands.create(connection, name="other", timezone="UTC", sandbox=True)
    with Caller(brand_id, "key", engine, StubBroker(middleware=[])).transaction() as connection:
        assert set(connection.scalars(text("SELECT brand_id FROM brands"))) == {brand_id}
        assert set(connection.scalars(text("SELECT brand_id FROM api_keys"))) <= {brand_id}

"""PostgreSQL shows every caller their own brand alone, whatever a query asks for."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from dramatiq.brokers.stub import StubBroker
from sqlalchemy import Connection, Engine, text
from starlette.datastructures import URL

from issuance.api.callers import Caller
from issuance.database.connections import transaction

#: Each forgets to name the brand.
TABLES = ("brands", "api_keys")


@pytest.fixture(params=["its own transaction", "part of a request with an Idempotency-Key"])
def work(request: pytest.FixtureRequest, engine: Engine, brand_id: UUID) -> Iterator[Connection]:
    """What a caller of the brand works in."""
    caller = Caller(brand_id, "key", engine, StubBroker(middleware=[]), URL("http://here/"))
    if request.param == "its own transaction":
        with caller.transaction() as connection:
            yield connection
    else:
        with (
            caller.transaction() as whole,
            Caller(brand_id, "key", engine, caller.broker, caller.url, work=whole).transaction() as part,
        ):
            yield part


def brands_in(connection: Connection, table: str) -> set[UUID]:
    return set(connection.scalars(text(f"SELECT brand_id FROM {table}")))


def test_a_caller_sees_and_changes_their_own_brand_alone(
    engine: Engine, work: Connection, brand_id: UUID, other_brand_id: UUID
) -> None:
    """A statement that forgets the brand finds the caller's rows, all of them, and nobody else's."""
    for table in TABLES:
        with transaction(engine) as everybody:
            assert {brand_id, other_brand_id} <= brands_in(everybody, table)
        assert brands_in(work, table) == {brand_id}
    assert work.execute(text("UPDATE brands SET name = 'mine'")).rowcount == 1
    taken = text("UPDATE brands SET name = 'mine' WHERE brand_id = :other")
    assert work.execute(taken, {"other": other_brand_id}).rowcount == 0

"""Memberships that are settled together do not share a fate."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from issuance.billing.events import Intake
from issuance.database.connections import transaction
from issuance.engine import arrivals, pipeline


class WorkerDied(BaseException):
    """Not an error that anybody handles."""


@pytest.fixture
def members(accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]) -> list[UUID]:
    """Five that have signed up and wait for being settled."""
    ids = sorted(uuid4() for _ in range(5))
    assert accept(*map(signed_up, ids)).accepted == len(ids)
    return ids


def test_whose_news_kill_the_worker_takes_nobody_along(
    engine: Engine, brand_id: UUID, members: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for together again and again, only it ends in quarantine: the others are settled beside it."""
    killer, settle = members[1], pipeline.settle_these
    deaths = 0

    def mortal(connection: Connection, brand_id: UUID, ids: Sequence[UUID]) -> object:
        if killer in ids:
            raise WorkerDied
        return settle(connection, brand_id, ids)

    monkeypatch.setattr(arrivals, "settle_these", mortal)
    for _ in range(8):
        try:
            arrivals.settle_soon(engine, brand_id, members)
        except WorkerDied:
            deaths += 1
        with transaction(engine, brand_id) as connection:
            connection.execute(text("UPDATE schedules SET retry_at = clock_timestamp() - interval '1 second'"))
    assert deaths == 5
    with transaction(engine, brand_id) as connection:
        apart = text("SELECT schedule_id FROM schedules WHERE quarantined_at IS NOT NULL OR settled_at IS NULL")
        assert list(connection.scalars(apart)) == [killer]

"""A club whose biller can be asked, and reconciling it with a fake of Stripe."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from issuance.billers import asking, reconciling
from issuance.database.connections import transaction
from tests.database.stripes import Club
from tests.database.test_stripe_sequences import SETTLED_AT, plugged_in
from tests.limits import Limit
from tests.stripe.fake import KEY, FakeStripe, fake_stripe


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, limit: Limit) -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        monkeypatch.setenv("ISSUANCE_STRIPE_API_BASE", fake.url)
        limit("billers", asked_a_second=1000)
        yield fake


@pytest.fixture
def asked(engine: Engine) -> Club:
    """A club whose biller can be asked."""
    club = plugged_in(engine, KEY)
    club.settle(SETTLED_AT)
    return club


def reconcile(club: Club, **how: Any) -> dict[str, Any]:
    with transaction(club.engine, club.brand_id) as connection:
        run_id = reconciling.start(connection, club.brand_id, club.biller_id, **how)
    return worked(club, run_id)


def worked(club: Club, run_id: UUID) -> dict[str, Any]:
    reconciling.work(club.engine, club.brand_id, run_id, lambda _: None)
    club.translate()
    return read(club, run_id)


def read(club: Club, run_id: UUID) -> dict[str, Any]:
    with transaction(club.engine, club.brand_id) as connection:
        return reconciling.read(connection, club.brand_id, run_id)


def ask(club: Club) -> None:
    while asking.ask(club.engine, club.brand_id, club.biller_id).deliveries:
        club.translate()

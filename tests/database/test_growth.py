"""A share of `campaigns.growth`: a year of a club, by table."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from campaigns.growth.churn import Churn
from campaigns.growth.year import Year
from issuance import settings
from issuance.database.connections import transaction

MEMBERS = 4


def test_a_year_comes_to_what_a_membership_is_told_and_given(fresh_database: Callable[[], str]) -> None:
    """A sign-up and two events of each of eleven charges, twelve credits, half of them used; nothing else grows by a
    row for each month but what is owed and why."""
    grown = {table.name: table.rows / MEMBERS for table in Year(fresh_database(), MEMBERS).live()}
    told = {"billing_events": 23, "charges": 11, "credits": 12, "redemptions": 6, "memberships": 1}
    assert {name: grown[name] for name in told} == told


def test_churn_leaves_behind_what_one_month_told(
    fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members leave, others join, webhooks are told: deliveries of earlier months are forgotten, with their events, and
    the tables are little larger than fresh copies of them."""
    monkeypatch.setenv("ISSUANCE_LOCAL_WEBHOOKS", "1")
    settings.own.cache_clear()
    told: list[int] = []
    try:
        club = Churn(fresh_database(), 60)
        weighed = club.live_on(5, lambda _: told.append(_events(club)))
    finally:
        settings.own.cache_clear()
    most = 4 * 60  # issued, expired, and used by half of the members, which is two events
    assert all(0 < number <= most for number in told), told
    assert sum(table.bytes for table in weighed) <= 1.5 * sum(table.fresh for table in weighed)


def _events(club: Churn) -> int:
    with transaction(club.engine, club.brand_id) as connection:
        return int(connection.scalar(text("SELECT count(*) FROM webhook_events")) or 0)

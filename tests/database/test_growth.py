"""A share of `campaigns.growth`: a year of a club, by table."""

from collections.abc import Callable

import pytest

from campaigns.growth.churn import Churn
from campaigns.growth.year import Year
from issuance import settings

MEMBERS = 4


def test_a_year_comes_to_what_a_membership_is_told_and_given(fresh_database: Callable[[], str]) -> None:
    """A sign-up and two events of each of eleven charges, twelve credits, half of them used; nothing else grows by a
    row for each month but what is owed and why."""
    grown = {table.name: table.rows / MEMBERS for table in Year(fresh_database(), MEMBERS).live()}
    told = {"billing_events": 23, "charges": 11, "credits": 12, "redemptions": 6, "memberships": 1}
    assert {name: grown[name] for name in told} == told


def test_tables_are_little_larger_after_churn_than_fresh_copies(
    fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members leave, others join, webhooks are told and forgotten: what is deleted is filled again."""
    monkeypatch.setenv("ISSUANCE_LOCAL_WEBHOOKS", "1")
    settings.own.cache_clear()
    try:
        weighed = {table.name: table for table in Churn(fresh_database(), 60).live_on(5)}
    finally:
        settings.own.cache_clear()
    assert weighed["deliveries"].bytes > weighed["webhooks"].bytes, "something was told"
    assert sum(table.bytes for table in weighed.values()) <= 1.5 * sum(table.fresh for table in weighed.values())

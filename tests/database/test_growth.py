"""A share of `campaigns.growth`: a year of a club, by table."""

from collections.abc import Callable

from campaigns.growth.year import Year

MEMBERS = 4


def test_a_year_comes_to_what_a_membership_is_told_and_given(fresh_database: Callable[[], str]) -> None:
    """A sign-up and two events of each of eleven charges, twelve credits, half of them used; nothing else grows by a
    row for each month but what is owed and why."""
    grown = {table.name: table.rows / MEMBERS for table in Year(fresh_database(), MEMBERS).live()}
    told = {"billing_events": 23, "charges": 11, "credits": 12, "redemptions": 6, "memberships": 1}
    assert {name: grown[name] for name in told} == told

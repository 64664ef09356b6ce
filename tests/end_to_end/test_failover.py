"""A share of the campaign of failing over; all of it is `./run python -m campaigns.failover`."""

import pytest

from campaigns.failover.__main__ import trial
from campaigns.failover.cluster import missing

LACKING = missing()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=f"there is no cluster here: {LACKING}")


def test_a_primary_that_is_killed_costs_nothing_but_time() -> None:
    """In the middle of a run, while events come in: they are taken again within a minute with no hand, and in the end
    every credit is there, none twice. The processes know the one address of HAProxy, which follows the primary."""
    trial(2000, by_proxy=True)

"""A share of the chaos campaign; all of it is `./run chaos`."""

import os

from campaigns.chaos import campaign
from campaigns.chaos.campaign import Plan
from campaigns.chaos.faults import FAULTS
from campaigns.faults.site import Site

#: Up to 2,000 members get two faults of each kind, more get 60.
_MEMBERS = int(os.environ.get("ISSUANCE_TEST_CHAOS", "20000"))
_FAULTS = 60 if _MEMBERS > 2000 else 2 * len(FAULTS)


def test_chaos_loses_doubles_and_hastens_nothing(site: Site) -> None:
    """Every kind of fault at random moments; then every credit is counted, all laws hold, and service was back soon."""
    plan = Plan(_MEMBERS, _FAULTS, seed=5, gap=0.5, lasting=1.5)
    account = campaign.run(site, plan, lambda _: None, lambda _: None)
    assert account.wrong == []
    assert len(account.happened) == _FAULTS
    assert {fault.name for fault in account.happened} == set(FAULTS)

"""A share of the chaos campaign; all of it is `./run chaos`."""

import os
from pathlib import Path

import pytest

from campaigns.brokers import servers
from campaigns.chaos import campaign
from campaigns.chaos.campaign import Plan
from campaigns.chaos.faults import FAULTS
from campaigns.chaos.rabbitmq import faults_of
from campaigns.faults.site import Site, running_site

#: Up to 2,000 members get two faults of each kind, more get 60.
_MEMBERS = int(os.environ.get("ISSUANCE_TEST_CHAOS", "20000"))
_FAULTS = 60 if _MEMBERS > 2000 else 2 * len(FAULTS)

#: What has to do with the queue; the other faults are the same on any broker.
ON_RABBITMQ = {"RabbitMQ killed", "RabbitMQ wiped", "unreadable message", "kill -9 of a worker", "SIGSTOP"}


def test_chaos_loses_doubles_and_hastens_nothing(site: Site) -> None:
    """Every kind of fault at random moments; then every credit is counted, all laws hold, and service was back soon."""
    plan = Plan(_MEMBERS, _FAULTS, seed=5, gap=0.5, lasting=1.5)
    account = campaign.run(site, plan, lambda _: None, lambda _: None)
    assert account.wrong == []
    assert len(account.happened) == _FAULTS
    assert {fault.name for fault in account.happened} == set(FAULTS)


@pytest.mark.skipif(servers.program("rabbitmq-server") is None, reason="there is no rabbitmq-server here: apt-get it")
def test_chaos_on_rabbitmq_costs_nothing_but_time(tmp_path: Path) -> None:
    """The queue killed and wiped, rubbish in it, workers killed beside it: what it loses is found in the database."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # PostgreSQL may run as another user
    with servers.rabbitmq(tmp_path) as broker, running_site(tmp_path / "home", broker.url) as site:
        faults = {name: fault for name, fault in faults_of(broker).items() if name in ON_RABBITMQ}
        plan = Plan(500, 2 * len(faults), seed=5, gap=1.0, lasting=1.5)
        account = campaign.run(site, plan, lambda _: None, lambda _: None, faults)
    assert account.wrong == []
    assert {fault.name for fault in account.happened} == ON_RABBITMQ

"""Whichever broker REDIS_URL names, members get their credits, and its loss costs nothing but time."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from campaigns.brokers import servers
from campaigns.brokers.servers import Broker, program
from tests.end_to_end.client import ONE, Client
from tests.logs import complaints
from tests.serving import running
from tests.waiting import eventually

BROKERS: dict[str, tuple[str, Callable[[Path], AbstractContextManager[Broker]]]] = {
    "RabbitMQ": ("rabbitmq-server", servers.rabbitmq),
    "TLS": ("redis-server", servers.redis_in_tls),
    "Sentinel": ("redis-sentinel", servers.redis_with_sentinel),
}
SERVE = [sys.executable, "-c", "from issuance.cli.main import main; main()", "serve", "--small"]


@pytest.mark.parametrize("kind", BROKERS)
def test_whichever_broker_its_loss_costs_nothing_but_time(
    kind: str, fresh_database: Callable[[], str], tmp_path: Path
) -> None:
    """Facts are taken while it is away; what they come to is there once it, or another one in its place, is. Of an
    outage the log tells once a process, and of nothing else."""
    package, serves = BROKERS[kind]
    if program(package) is None:
        pytest.skip(f"there is no {package} here: apt-get install {package}")
    url, log = fresh_database(), tmp_path / "processes.log"
    with serves(tmp_path) as broker, running([SERVE], url, broker.url, log) as server:
        made = server.new_brand()
        with server.client(made.key) as http:
            brand = Client(http)
            brand.rule(issue_on_signup=True)
            brand.member(external_user_id="before")

            broker.kill()
            event = brand.sign_up(external_user_id="meanwhile")
            answer = http.post("/billing-events", json=event, headers={"content-type": ONE})
            assert answer.status_code == 202, answer.text
            if kind != "Sentinel":  # there another one takes its place
                assert degraded(http) == ["broker"]
                broker.begin()
            eventually(lambda: degraded(http) == [])
            brand.until("2031-01-02T00:00:00Z")
            assert brand.ok("GET", "/customers/credits")["meta"]["total"] == 2
    assert complaints(log) == []


def degraded(http: httpx.Client) -> list[str]:
    """What `/readyz` says is away and costs only time."""
    said: list[str] = http.get("/readyz").raise_for_status().json()["degraded"]
    return said

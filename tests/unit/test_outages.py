"""What is away is told of once when that begins and once when it is over."""

from concurrent.futures import ThreadPoolExecutor

from issuance import log
from issuance.log import Outage
from tests.logs import captured


def test_an_outage_is_told_twice_in_all() -> None:
    """However often and by how many threads it is met."""
    outage = Outage("broker")
    with captured(log) as logs:
        for _ in range(2):
            outage.is_over()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: outage.lasts(ConnectionError("no")), range(100)))
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: outage.is_over(), range(100)))
    told = [(entry["event"], entry["log_level"]) for entry in logs]
    assert told == [("broker_away", "error"), ("broker_back", "warning")] * 2
    assert logs[0]["error"] == "ConnectionError"

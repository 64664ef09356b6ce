"""What is away is told of once when that begins and once when it is over."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from issuance import limits, log
from issuance.log import Outage
from scheduler.tick import Tick
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
    assert logs[0]["error"] == "ConnectionError: no"


def test_of_what_strangers_cause_a_few_lines_a_second_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one says how many were left out."""
    now = 1000.0
    monkeypatch.setattr(log, "monotonic", lambda: now)
    few, most = log.Few(), limits.current.doors.lines_a_second
    assert [few.next() for _ in range(50)] == [{}] * most + [None] * (50 - most)
    now = 1001.0
    assert [few.next() for _ in range(2)] == [{"untold": 50 - most}, {}]


def test_ticks_say_nothing_of_what_nobody_can_be_asked_for() -> None:
    """While the broker is away each tick asks for the same again; what it plans is news."""
    asked, planned = Tick(resumed=1, memberships=200, webhooks=2), Tick(sweeps=1)
    assert [asked.is_news(broker_away=away) for away in (False, True)] == [True, False]
    assert planned.is_news(broker_away=True)
    assert not Tick().is_news(broker_away=False)


def test_an_outage_that_lasts_is_told_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at the log of the last minutes sees it."""
    now = 1000.0
    monkeypatch.setattr(log, "monotonic", lambda: now)
    outage = Outage("tick", "failed", "works")
    with captured(log) as logs:
        for _ in range(150):
            outage.lasts("no right")
            now += 1.0
        outage.is_over()
    assert [(entry["event"], entry.get("seconds")) for entry in logs] == [("tick_failed", None)] * 3 + [
        ("tick_works", 150.0)
    ]

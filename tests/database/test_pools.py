"""Connections are a budget: a process has at most so many, closes those that it does not need, and gets along with
fewer where PostgreSQL grants no more."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from issuance.database import pools
from issuance.database.connections import engine_for, transaction, transaction_aside, transaction_beside
from issuance.database.pools import budget
from tests.limits import Limit
from tests.waiting import PATIENCE_SECONDS, eventually

MOST = 4


@pytest.fixture
def own(database_url: str, direct: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine of a process that may have MOST connections, past a pooler: the server's backends are counted."""
    monkeypatch.setattr(pools, "_allowed", budget(MOST))
    made = engine_for.__wrapped__(direct(database_url))
    yield made
    made.dispose()


def backend(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


def backends(own: Engine, number: int) -> set[int]:
    """Those of so many transactions at once."""
    together = Barrier(number, timeout=PATIENCE_SECONDS)

    def work(_: int) -> int:
        with transaction(own) as connection:
            together.wait()
            return backend(connection)

    with ThreadPoolExecutor(number) as threads:
        return set(threads.map(work, range(number)))


def test_a_connection_that_is_closed_on_purpose_is_no_news(own: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Each process closes one every ten seconds: a log that says so says nothing else."""
    with caplog.at_level(logging.INFO), transaction_aside(own):
        pass
    assert caplog.records == []


def test_a_process_has_at_most_what_it_may_have(own: Engine, brand_id: UUID) -> None:
    """Thirty threads share them, and none that opens a transaction beside its own waits in a circle."""

    def work(_: int) -> set[int]:
        with transaction(own) as connection, transaction_beside(connection, brand_id) as beside:
            return {backend(connection), backend(beside)}

    with ThreadPoolExecutor(30) as threads:
        seen = set().union(*threads.map(work, range(60)))
    assert len(seen) == MOST


def test_what_is_not_needed_is_closed(own: Engine, engine: Engine, limit: Limit) -> None:
    """And made anew by who needs it."""
    limit("database", idle=0.2)
    were = backends(own, MOST - 1)
    assert len(were) == MOST - 1
    there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:pids)")

    def are_gone() -> bool:
        with transaction(engine) as connection:
            return not connection.scalar(there, {"pids": list(were)})

    eventually(are_gone)
    assert len(backends(own, MOST - 1)) == MOST - 1


def test_one_that_is_granted_serves_all_threads(own: Engine, limit: Limit) -> None:
    """They wait for it; where there is none for long, that is said."""
    granted = [1]

    def refuse(*_: object) -> None:
        if not granted:
            raise psycopg.OperationalError("FATAL:  remaining connection slots are reserved")
        granted.pop()

    event.listen(own, "do_connect", refuse, insert=True)

    def work(_: int) -> int:
        with transaction(own) as connection:
            time.sleep(0.02)
            return backend(connection)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(work, range(24)))) == 1
    own.dispose()
    limit("database", patience_with_server=0.1)
    with pytest.raises(OperationalError), transaction(own):
        pass


@pytest.mark.parametrize("most", [4, 10, 40])
def test_a_budget_is_what_its_parts_are(most: int) -> None:
    """And each part has something."""
    parts = budget(most, looks=True)
    assert sum(parts) == most
    assert all(parts)
    assert parts.transactions >= 2, "one may be held by a request that waits for a thread"

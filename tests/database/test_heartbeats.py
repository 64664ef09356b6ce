"""Processes say that they live and what they counted; web tells it of all of them (issuance/heartbeats.py)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.worker import Worker
from sqlalchemy import Connection, Engine, text

from issuance import heartbeats, log, measures
from issuance.api.app import create_app
from issuance.database.connections import engine_for, transaction
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.heartbeats import DEAD_AFTER, GONE_AFTER, Heart
from issuance.settings import Settings
from tests.database.test_metrics_door import get
from tests.logs import captured
from tests.waiting import eventually
from worker.heartbeats import Heartbeats


@pytest.fixture
def own(fresh_database: Callable[[], str]) -> Engine:
    """A database in which nobody has lived yet."""
    return engine_for(fresh_database())


def beat(engine: Engine, kind: heartbeats.Kind, *queues: str, away: bool = False) -> None:
    Heart(engine, kind, lambda: away, queues).beat()


def pass_time(engine: Engine, seconds: float, where: str = "true") -> None:
    with transaction(engine) as connection:
        statement = f"UPDATE heartbeats SET beat_at = beat_at - make_interval(secs => :seconds) WHERE {where}"
        connection.execute(text(statement), {"seconds": seconds})


def told(engine: Engine) -> dict[tuple[Any, ...], float]:
    """Every sample: its name, the values of its labels, and its value."""
    with transaction(engine) as connection:
        samples = [sample for metric in heartbeats.metrics(connection) for sample in metric.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def dead(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return heartbeats.dead(connection)


def test_a_dead_scheduler_shows_though_nothing_is_due(own: Engine, redis_url: str) -> None:
    """In readyz, which stays 200, and in metrics, where it shows from the start that there is none; likewise a queue
    that nobody listens to any more. A new one mends it."""
    assert (dead(own), told(own)["issuance_processes", "scheduler"]) == ([], 0)
    beat(own, "scheduler")
    beat(own, "worker", "events")
    beat(own, "worker", "events", "bulk", "webhooks")
    assert told(own)["issuance_processes", "worker_events"] == 2
    pass_time(own, DEAD_AFTER + 1)
    assert dead(own) == ["scheduler", "worker_events", "worker_bulk", "worker_webhooks"]
    assert told(own)["issuance_processes", "scheduler"] == 0
    assert told(own)["issuance_heartbeat_seconds", "scheduler"] > DEAD_AFTER
    beat(own, "worker", "events")
    address = own.url.render_as_string(hide_password=False)
    app = create_app(Settings(DATABASE_URL=address, REDIS_URL=redis_url))
    answer = get(app, "/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["scheduler", "worker_bulk", "worker_webhooks"])
    beat(own, "scheduler")
    assert "scheduler" not in dead(own)


def test_what_was_counted_adds_up_and_outlives_who_counted_it(own: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are long gone become one row a kind; no number gets smaller by that. How many connections are in use
    is told of the living only."""
    sample = ("issuance_settle_seconds_count", (("by", "event"),))
    for number in (1.0, 2.0, 4.0):
        monkeypatch.setattr(measures, "samples", lambda number=number: {sample: number})
        beat(own, "worker", "events", away=True)
    pass_time(own, GONE_AFTER.total_seconds() + 1)
    monkeypatch.setattr(measures, "samples", lambda: {sample: 8.0, ("issuance_of_a_newer_version", ()): 1.0})
    beat(own, "worker", "events")
    for rows in (4, 2, 2):
        with transaction(own) as connection:
            assert connection.scalar(text("SELECT count(*) FROM heartbeats")) == rows
            if rows == 4:
                heartbeats.gather(connection)
        assert told(own)["issuance_settle_seconds_count", "event"] == 15
    assert ("issuance_of_a_newer_version",) not in told(own)
    assert told(own)["issuance_broker_unreached", "worker"] == 0
    assert told(own)["issuance_connections_in_use", "worker"] == 0


def test_who_comes_back_from_a_long_silence_is_counted_once(own: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine slept, its row was gathered: what it had counted stays there, and only what it counts from then on
    is its own; likewise the next time."""
    sample = ("issuance_settle_seconds_count", (("by", "event"),))
    hearts = [Heart(own, "worker", lambda: False, ["events"]) for _ in range(2)]

    def beat_with(number: float, *beating: Heart) -> None:
        monkeypatch.setattr(measures, "samples", lambda: {sample: number})
        for heart in beating:
            heart._last = None
            heart.beat()

    beat_with(5.0, *hearts)
    for number in (7.0, 9.0):
        pass_time(own, GONE_AFTER.total_seconds() + 1)
        with transaction(own) as connection:
            heartbeats.gather(connection)
        beat_with(number, hearts[0])
        assert told(own)["issuance_settle_seconds_count", "event"] == number + 5
        assert told(own)["issuance_processes", "worker_events"] == 1


def test_a_worker_beats_for_its_queues_and_a_hang_of_postgresql_does_not_end_it(own: Engine) -> None:
    """From the start of its threads; where PostgreSQL is away nothing is said, and nothing is raised."""
    broker: dramatiq.Broker = StubBroker(middleware=[])
    for queue in ("events", "bulk"):
        broker.declare_queue(queue)
    middleware, worker = Heartbeats(own), Worker(broker, queues={"bulk"})
    middleware.before_worker_boot(broker, worker)
    eventually(lambda: told(own)["issuance_processes", "worker_bulk"] == 1)
    assert told(own)["issuance_processes", "worker_events"] == 0
    middleware.after_worker_shutdown(broker, worker)
    Heart(engine_for("postgresql+psycopg://127.0.0.1:1/nobody"), "scheduler", lambda: False).beat()


def test_a_heart_touches_a_file_whether_or_not_postgresql_is_there(own: Engine, tmp_path: Path) -> None:
    """For a probe: what waits for its database need not be killed. A folder that is not there ends nobody."""
    away = engine_for("postgresql+psycopg://127.0.0.1:1/nobody")
    for number, engine in enumerate((own, away)):
        file = tmp_path / str(number)
        Heart(engine, "scheduler", lambda: False, file=file).beat()
        assert file.exists()
    Heart(own, "scheduler", lambda: False, file=tmp_path / "nowhere" / "heart").beat()
    middleware, worker = Heartbeats(own, tmp_path / "worker"), Worker(StubBroker(middleware=[]), queues={"bulk"})
    middleware.before_worker_boot(worker.broker, worker)
    eventually((tmp_path / "worker").exists)
    middleware.after_worker_shutdown(worker.broker, worker)


def test_a_heart_outlives_a_schema_that_is_not_its_own(own: Engine) -> None:
    """Web goes on, and says at /readyz why it is not ready; it beats when the schema is what it needs."""
    foreign = [SchemaBehind("older"), SchemaAhead("newer")]

    @contextmanager
    def refused(engine: Engine) -> Iterator[Connection]:
        if foreign:
            raise foreign.pop()
        with transaction(engine) as connection:
            yield connection

    heart = Heart(own, "web", lambda: False)
    heart._transaction = refused
    for _ in range(2):
        heart.beat()
        assert not told(own).get(("issuance_processes", "web"))
    heart.beat()
    assert told(own)["issuance_processes", "web"] == 1


def test_a_heart_tells_why_it_does_not_reach_postgresql() -> None:
    """A worker with nothing to do, and a web that nobody asks, have no other line of it."""
    engine = engine_for("postgresql://127.0.0.1:1/nowhere")
    heart = Heart(engine, "worker", lambda: False)
    with captured(log) as entries:
        heart.beat()
        heart.beat()
    engine.dispose()
    (entry,) = entries
    assert entry["event"] == "database_away"
    assert "refused" in entry["error"]

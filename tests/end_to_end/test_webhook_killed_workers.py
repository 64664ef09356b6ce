"""Whatever dies in mid-delivery, everything is delivered: at least once, and under the same id (SEMANTICS 8)."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import Engine

from campaigns.receiver import Receiver
from issuance import hints
from issuance.database.connections import engine_for, transaction
from issuance.embedded import procfile
from issuance.tenancy import brands
from issuance.webhooks.deliveries import MOST_AT_ONCE
from scheduler import tick
from tests.hooks import Hook, listen
from tests.serving import REPO

Working = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def own_url(fresh_database: Callable[[], str]) -> str:
    """A database with no webhook but this test's."""
    return fresh_database()


@pytest.fixture
def engine(own_url: str) -> Iterator[Engine]:
    engine = engine_for(own_url)
    yield engine
    engine.dispose()


@pytest.fixture
def hook(engine: Engine, receiver: Receiver) -> Hook:
    with transaction(engine) as connection:
        brand_id, _ = brands.create(connection, name="test", timezone="Europe/Lisbon", sandbox=True)
    return listen(engine, brand_id, receiver)


@pytest.fixture
def start(own_url: str, redis_url: str) -> Iterator[Working]:
    """Starts the Procfile's worker_webhooks, in a process group of its own."""
    command = procfile.commands()["worker_webhooks"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "DATABASE_URL": own_url, "REDIS_URL": redis_url, "PATH": path}
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen(["sh", "-c", command], cwd=REPO, env=environment, process_group=0))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait()


@contextmanager
def nobody_answers(receiver: Receiver, answered: int) -> Iterator[None]:
    """The receiver takes a batch of deliveries, answers so many, and leaves the others without an answer."""
    over = threading.Event()

    def leave_open(_: BaseHTTPRequestHandler) -> None:
        over.wait()

    receiver.answers = [200] * answered + [leave_open] * (MOST_AT_ONCE - answered)
    try:
        yield
    finally:
        over.set()


def test_kill_9_in_mid_delivery_loses_nothing(
    hook: Hook, receiver: Receiver, start: Working, engine: Engine, redis_url: str
) -> None:
    """Twice: before anybody was answered, and where some were but nobody had noted it. The scheduler finds what was
    left when the dead worker's claim is over; of what came twice the receiver sees the id twice."""
    broker = hints.broker_for(redis_url)
    number = 2 * MOST_AT_ONCE
    hook.tell(number)
    for killed, answered in enumerate((0, MOST_AT_ONCE // 2), start=1):
        with nobody_answers(receiver, answered):
            worker = start()
            tick.run_once(engine, broker)
            receiver.wait_for(killed * MOST_AT_ONCE)
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        assert {delivery.state for delivery in hook.deliveries()} == {"pending"}
        assert tick.run_once(engine, broker).webhooks == 0, "the dead worker's claim holds"
        hook.make_due()
    start()
    tick.run_once(engine, broker)
    receiver.wait_for(2 * MOST_AT_ONCE + number)
    hook.until_settled()

    deliveries = hook.deliveries()
    assert {delivery.state for delivery in deliveries} == {"delivered"}
    times = Counter(headers["webhook-id"] for _, headers, _ in receiver.received)
    assert times == {str(delivery.event_id): delivery.attempts for delivery in deliveries}
    assert sorted(times.values()) == [1] * MOST_AT_ONCE + [3] * MOST_AT_ONCE
    assert len(receiver.verified(hook.secret)) == len(receiver.received)

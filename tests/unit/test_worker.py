"""A worker process is made where it starts, and by nothing that is imported."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from issuance import hints
from issuance.embedded.environment import REPO
from tests.waiting import PATIENCE_SECONDS, eventually

#: What dramatiq's command line does with its first argument, and what the process then is.
LOADS = """
import sys
sys.argv = ["/usr/bin/dramatiq", sys.argv[1], "--queues", "events"]
from dramatiq.cli import import_broker
module, broker = import_broker(sys.argv[1])
print(type(broker).__name__, *sorted(broker.actors))
"""
IMPORTS = """
import dramatiq.broker, gc
before = gc.get_threshold()
import worker.actors, worker.backlog, worker.messages, worker.process
assert dramatiq.broker.global_broker is None
assert gc.get_threshold() == before
"""


def python(code: str, *arguments: str, **environment: str) -> str:
    """What a program says, with only these settings in its environment."""
    others = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=REPO, env={**others, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("named", ["worker", "worker:start"])
def test_dramatiq_finds_a_broker_that_knows_every_actor(named: str) -> None:
    """By the callable that the Procfile names, and by the module alone."""
    servers = {"DATABASE_URL": "postgresql://nowhere/", "REDIS_URL": "redis://127.0.0.1:1"}
    assert python(LOADS, named, **servers).split() == ["TrustsItsQueue", *sorted(hints.QUEUE_OF)]


def test_importing_a_worker_starts_nothing() -> None:
    """No setting is read, no broker is made, nothing of the process is changed."""
    python(IMPORTS)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_worker_logs_in_one_format_and_tells_of_an_outage_once(
    fresh_database: Callable[[], str], tmp_path: Path, log_format: str
) -> None:
    """dramatiq's own lines too, those of its master among them; while Redis is away for seconds, one line says so."""
    others = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    servers = {"DATABASE_URL": fresh_database(), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "worker", "--queues", "events", "--processes", "1", "--threads", "2"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        started = subprocess.Popen(
            command, cwd=REPO, env={**others, **servers, "LOG_FORMAT": log_format}, stderr=out, process_group=0
        )
    try:
        eventually(lambda: "broker_away" in log.read_text())
        with pytest.raises(subprocess.TimeoutExpired):
            started.wait(7)  # dramatiq looks for the broker again every three seconds
        started.terminate()
        started.wait(PATIENCE_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    lines = log.read_text().splitlines()
    told = [json.loads(line)["event"] for line in lines] if log_format == "json" else lines
    assert sum("is booting up" in line for line in told) == 1
    assert sum("broker_away" in line for line in told) == 1
    assert not any("Consumer encountered" in line or "Restarting consumer" in line for line in told)
    if log_format == "json":
        assert {"level", "timestamp", "event"} <= json.loads(lines[0]).keys()

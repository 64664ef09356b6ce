"""A worker process is made where it starts, and by nothing that is imported."""

import os
import subprocess
import sys

import pytest

from issuance.embedded.environment import REPO
from worker.messages import KNOWN_ACTORS

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
    assert python(LOADS, named, **servers).split() == ["TrustsItsQueue", *sorted(KNOWN_ACTORS)]


def test_importing_a_worker_starts_nothing() -> None:
    """No setting is read, no broker is made, nothing of the process is changed."""
    python(IMPORTS)

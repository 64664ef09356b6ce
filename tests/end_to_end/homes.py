"""Real supervisors with real servers, each in a home of its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from issuance.embedded import running
from issuance.embedded.environment import REPO

#: A program that runs the servers of the home in its first argument until it is stopped, and says when they are up.
SUPERVISOR = """
import sys, signal, time
from pathlib import Path
from issuance.embedded.lock import SupervisorLock
from issuance.embedded.servers import supervised
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
home = Path(sys.argv[1])
lock = SupervisorLock(home)
assert lock.take()
with supervised(home, lock, durable=False):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def no_servers_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests about the embedded servers, whatever servers the other tests use."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home; whatever a failed test leaves running in it is stopped."""
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    running.stop_left_behind(folder)


@pytest.fixture
def program() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts python programs that are killed at the end: `program(code, *arguments, **options_of_popen)`."""
    started = []

    def start(code: str, *arguments: object, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", code, *map(str, arguments)]
        process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: "subprocess.Popen[str]") -> str:
    """The next line that a program says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def recorded(home: Path) -> dict[str, int]:
    """The pids of what the record of `home` says is running."""
    return {name: record.pid for name, record in running.read(home).items()}


def exists(pid: int) -> bool:
    return running.started_at(pid) != ""

"""One supervisor a home; whatever way it ends, nothing it started outlives it for long."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import psycopg
import pytest

from issuance.embedded import command, running
from issuance.embedded.environment import REPO
from issuance.embedded.lock import SupervisorLock
from issuance.embedded.postgres import Postgres
from issuance.embedded.servers import used
from tests.end_to_end.homes import SUPERVISOR, exists, line, recorded
from tests.waiting import eventually

#: Calls the command in its other arguments.
CALLER = """
import sys
from pathlib import Path
from issuance.embedded.command import call
sys.exit(call(Path(sys.argv[1]), sys.argv[2:]))
"""
Program = Callable[..., "Popen[str]"]
pytestmark = pytest.mark.usefixtures("no_servers_given")


def test_a_second_supervisor_is_refused_and_told_who_runs(home: Path, program: Program) -> None:
    first = program(SUPERVISOR, home)
    assert line(first) == "up"
    lock = SupervisorLock(home)
    assert not lock.take()
    assert lock.holder() == {"pid": first.pid, "ready": True}

    first.terminate()
    assert first.wait() == 0
    assert recorded(home) == {}
    assert lock.take()


def test_others_use_the_servers_that_run_already(home: Path, program: Program) -> None:
    assert line(program(SUPERVISOR, home)) == "up"
    with used(home) as servers:
        assert not servers.ours
        with psycopg.connect(servers.addresses()["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert len(recorded(home)) == 2


def test_a_killed_supervisor_leaves_no_server_behind(home: Path, program: Program) -> None:
    first = program(SUPERVISOR, home)
    assert line(first) == "up"
    pids = recorded(home)
    assert set(pids) == {"postgres", "valkey"}
    first.kill()
    eventually(lambda: not any(map(exists, pids.values())))
    eventually(lambda: not recorded(home))


def test_the_next_start_stops_what_even_the_watcher_left(home: Path, program: Program) -> None:
    first = program(SUPERVISOR, home)
    assert line(first) == "up"
    pids = recorded(home)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    watchers = [int(pid) for pid in children if "watcher" in Path(f"/proc/{pid}/cmdline").read_text()]
    for pid in (*watchers, first.pid):
        os.kill(pid, signal.SIGKILL)
    first.wait()
    assert all(map(exists, pids.values()))

    assert line(program(SUPERVISOR, home)) == "up"
    assert not any(map(exists, pids.values()))
    with psycopg.connect(Postgres(home).url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_pid_used_anew_is_let_alone(home: Path) -> None:
    running.note(home, "me", os.getpid())
    record = home / "running/me"
    record.write_text(record.read_text().replace(running.read(home)["me"].started, "1"))
    running.stop_left_behind(home)
    assert recorded(home) == {}


def test_a_command_ends_with_its_own_code_and_takes_its_signals(home: Path, program: Program) -> None:
    assert command.call(home, [sys.executable, "-c", "raise SystemExit(7)"]) == 7
    caller = program(CALLER, home, sys.executable, "-u", "-c", "print('here'); import time; time.sleep(60)")
    assert line(caller) == "here"
    caller.terminate()
    assert caller.wait() == 128 + signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_runs_it_too(home: Path, tmp_path: Path, program: Program) -> None:
    if not _open_to_all(REPO, Path(sys.executable).resolve(), Path(sys.executable).parent):
        pytest.skip("this clone, or its Python, stands in a folder that only root may enter")
    for folder in (home, *home.parents[:-1]):
        if folder.stat().st_uid == 0 and folder.is_relative_to(tmp_path.parents[1]):
            folder.chmod(0o755)
    os.chown(home, 65534, 65534)
    options: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
    supervisor = program(SUPERVISOR, home, **options)
    assert line(supervisor) == "up"
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in recorded(home).values()} == {65534}


def _open_to_all(*paths: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for path in paths for folder in (path, *path.parents))

"""The Procfile's processes are kept up: started again when they fall, stopped in order, never left behind."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from issuance.embedded.environment import REPO
from tests.end_to_end.homes import exists, line, recorded
from tests.waiting import PATIENCE_SECONDS, eventually

Program = Callable[..., "Popen[str]"]
pytestmark = pytest.mark.usefixtures("no_servers_given")

#: Runs two processes; a line "ready" on the output says that both are up and will be kept up.
SUPERVISOR = """
import os, sys, threading
from pathlib import Path
from issuance.embedded import watcher
from issuance.embedded.processes import Processes, Renewal
home = Path(sys.argv[1])
watching = watcher.start(home)
processes = Processes(home, {"one": sys.argv[2], "two": sys.argv[3]}, os.environ, sys.stdout)
def be_ready():
    while len(list((home / "running").glob("[!.]*"))) < 2: pass
    processes.ready.set()
    print("ready", flush=True)
threading.Thread(target=be_ready, daemon=True).start()
code = processes.run(renewal=Renewal(sys.argv[4], Path(sys.argv[5]).exists) if len(sys.argv) > 4 else None)
watching.communicate()
sys.exit(code)
"""
SLEEPS = "exec sleep 600"
#: Leads a group of two.
FAMILY = "sleep 600 & exec sleep 601"


def ready(process: "Popen[str]") -> None:
    while line(process) != "ready":
        assert process.poll() is None


def family_of(pid: int) -> set[int]:
    """Every process in the group that `pid` leads."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pid:
            found.add(int(stat.parent.name))
    return found


def test_a_killed_process_is_started_again_and_its_family_ends_with_it(home: Path, program: Program) -> None:
    supervisor = program(SUPERVISOR, home, SLEEPS, FAMILY)
    ready(supervisor)
    before = recorded(home)
    eventually(lambda: len(family_of(before["two"])) == 2)
    family = family_of(before["two"])

    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: set(recorded(home)) == set(before) and not set(recorded(home).values()) & set(before.values()))
    eventually(lambda: not any(map(exists, family)))

    after = recorded(home)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(PATIENCE_SECONDS) == 130
    assert not any(map(exists, after.values()))
    assert recorded(home) == {}


def test_one_that_falls_before_all_are_ready_stops_the_start(home: Path, program: Program) -> None:
    supervisor = program(SUPERVISOR.replace("< 2", "< 3"), home, SLEEPS, "exit 3")
    assert supervisor.wait(PATIENCE_SECONDS) == 3
    assert recorded(home) == {}


def test_a_killed_supervisor_leaves_no_process_behind(home: Path, program: Program) -> None:
    supervisor = program(SUPERVISOR, home, SLEEPS, FAMILY)
    ready(supervisor)
    pids = recorded(home)
    supervisor.kill()
    eventually(lambda: not any(map(exists, pids.values())))


def test_the_procfile_names_what_there_is() -> None:
    commands = dict(row.split(": ", 1) for row in (REPO / "Procfile").read_text().splitlines())
    assert set(commands) >= {"web", "scheduler", "worker_events", "worker_bulk"}
    # A shell in between would take the signals instead.
    assert all(command.startswith("exec ") for command in commands.values())


def test_sighup_renews_where_it_is_said(home: Path, program: Program) -> None:
    """One process gets the signal itself and goes on; the others end and are started again. Nothing stops. What could
    not work is not begun: who works goes on."""
    heard, fits = home / "heard", home / "fits"
    renews = "import signal, sys, time; signal.signal(signal.SIGHUP, lambda *_: print('anew', flush=True));"
    renews += " open(sys.argv[1], 'x'); time.sleep(600)"
    supervisor = program(SUPERVISOR, home, f'exec python3 -c "{renews}" {heard}', SLEEPS, "one", fits)
    ready(supervisor)
    before = recorded(home)
    eventually(heard.exists)
    supervisor.send_signal(signal.SIGHUP)
    while "not begun anew" not in (said := line(supervisor)):
        assert "one" not in said
        assert supervisor.poll() is None
    assert recorded(home) == before
    fits.touch()
    supervisor.send_signal(signal.SIGHUP)
    while "anew" not in line(supervisor):
        assert supervisor.poll() is None
    eventually(lambda: recorded(home).get("two", before["two"]) != before["two"])
    assert recorded(home)["one"] == before["one"]

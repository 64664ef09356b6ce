"""The record of what a supervisor runs: a small file for each process, in the folder `running` of its home.

After a supervisor was killed, its watcher or the next start finds there which processes are left. A process is
identified by its pid and the instant when it started, so that a reused pid is left alone.
"""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

#: Seconds that a process has for an orderly end before it is killed.
PATIENCE = 20.0


@dataclass(frozen=True)
class Running:
    """A process that was started. `group`: it leads a process group. `server`: other processes need it."""

    name: str
    pid: int
    started: str
    group: bool
    server: bool

    def alive(self) -> bool:
        return bool(self.started) and started_at(self.pid) == self.started

    def ask_to_stop(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            # With SIGINT PostgreSQL stops without waiting for its clients.
            os.kill(self.pid, signal.SIGINT if self.server else signal.SIGTERM)

    def kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if self.group:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)


def note(home: Path, name: str, pid: int, *, group: bool = False, server: bool = False) -> None:
    """Records that `name` runs as `pid`."""
    folder = home / "running"
    folder.mkdir(exist_ok=True)
    running = Running(name, pid, started_at(pid), group, server)
    half = folder / f".{name}"
    half.write_text(json.dumps(asdict(running)))
    half.rename(folder / name)


def forget(home: Path, name: str) -> None:
    (home / "running" / name).unlink(missing_ok=True)


def read(home: Path) -> dict[str, Running]:
    """What the record of `home` names; some of it may have ended."""
    found = {}
    for path in (home / "running").glob("[!.]*"):
        # A file is written whole and renamed, so one that is missing was removed just now.
        with suppress(FileNotFoundError):
            found[path.name] = Running(**json.loads(path.read_text()))
    return found


def stop_left_behind(home: Path) -> None:
    """Stops the processes in the record, the servers last."""
    left = read(home)
    for server in (False, True):
        _stop([running for running in left.values() if running.alive() and running.server is server])
    now = read(home)
    for name, running in left.items():
        if now.get(name) == running:  # else a new supervisor has started it again
            forget(home, name)


def _stop(some: list[Running]) -> None:
    for running in some:
        running.ask_to_stop()
    deadline = time.monotonic() + PATIENCE
    while any(running.alive() for running in some):
        if time.monotonic() > deadline:
            for running in some:
                running.kill()
        time.sleep(0.05)
    for running in some:
        if running.group:  # other processes of the group may be left
            running.kill()


def started_at(pid: int) -> str:
    """When `pid` started, in the kernel's ticks; "" if there is no such process, or only a zombie."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]

"""The record of what a supervisor runs: one small file a process, in the folder `running` of its home.

Whoever comes after a supervisor that was killed (its watcher, or the next start) finds in it what was
left behind. A process is known by its pid and the instant it started, so that a pid used anew is let alone.
"""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

#: How long a process may take over its own orderly end, in seconds.
PATIENCE = 20.0


@dataclass(frozen=True)
class Running:
    """A process that was started: `group` when it leads a process group, `server` when the others need it."""

    name: str
    pid: int
    started: str
    group: bool
    server: bool

    def alive(self) -> bool:
        return bool(self.started) and _started(self.pid) == self.started

    def ask_to_stop(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            # SIGINT is PostgreSQL's order to stop without waiting for its clients.
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
    running = Running(name, pid, _started(pid), group, server)
    half = folder / f".{name}"
    half.write_text(json.dumps(asdict(running)))
    half.rename(folder / name)


def forget(home: Path, name: str) -> None:
    (home / "running" / name).unlink(missing_ok=True)


def read(home: Path) -> dict[str, Running]:
    """What the record of `home` names; some of it may have ended."""
    found = {}
    for path in (home / "running").glob("[!.]*"):
        # Written whole and renamed: what can not be read was forgotten just now.
        with suppress(FileNotFoundError):
            found[path.name] = Running(**json.loads(path.read_text()))
    return found


def stop_left_behind(home: Path) -> None:
    """Stops what the record names, the servers last."""
    left = read(home)
    for server in (False, True):
        _stop([running for running in left.values() if running.alive() and running.server is server])
    now = read(home)
    for name, running in left.items():
        if now.get(name) == running:  # not one that a new supervisor has started meanwhile
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
        if running.group:  # what its leader left in it
            running.kill()


def is_running(pid: int) -> bool:
    return bool(_started(pid))


def _started(pid: int) -> str:
    """When `pid` started, in the kernel's ticks; empty when there is no such process, or only its zombie."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]

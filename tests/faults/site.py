"""The Procfile's processes, to be killed: each in a group of its own, started again a second after it ended."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import redis
from honcho.environ import parse_procfile
from sqlalchemy import Engine

from issuance.database import engine_for
from tests.serving import PATIENCE_SECONDS, REPO


class Site:
    """All of Issuance on a database and a queue of its own."""

    def __init__(self, database_url: str, redis_url: str, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.engine: Engine = engine_for(database_url)
        self.redis_url = redis_url
        self.log = log
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "ISSUANCE_HOST": "127.0.0.1",
            "ISSUANCE_PORT": str(port),
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        self._commands: dict[str, str] = dict(parse_procfile((REPO / "Procfile").read_text()).processes)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = threading.Event()

    def start(self, name: str) -> None:
        with self.log.open("ab") as out:
            command = ["sh", "-c", self._commands[name]]
            self._processes[name] = subprocess.Popen(
                command, cwd=REPO, env=self._environment, stdout=out, stderr=out, process_group=0
            )

    def start_all(self) -> None:
        for name in self._commands:
            self.start(name)

    def kill(self, name: str) -> None:
        """kill -9 of a process and all that it started."""
        os.killpg(self._processes[name].pid, signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """SIGTERM, and wait until it has ended."""
        process = self._processes[name]
        process.terminate()
        process.wait(PATIENCE_SECONDS)

    def kill_child(self, name: str) -> None:
        """kill -9 of one of the processes that a process started to do its work."""
        children = [child for child in _children(self._processes[name].pid) if not _is_tracker(child)]
        os.kill(children[-1], signal.SIGKILL)

    def flush(self) -> None:
        """The queue is wiped."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()

    def client(self, key: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=300)

    def tend(self) -> None:
        """Start again what has ended, as a process manager does."""
        while not self._closing.wait(1):
            for name, process in list(self._processes.items()):
                if process.poll() is not None and not self._closing.is_set():
                    self.start(name)

    def close(self) -> None:
        self._closing.set()
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.engine.dispose()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready:\n{self.log.read_text(errors='replace')[-4000:]}")


@contextmanager
def running_site(database_url: str, redis_url: str, log: Path) -> Iterator[Site]:
    """All processes, running and tended."""
    site = Site(database_url, redis_url, log)
    try:
        site.start_all()
        site.wait_until_ready()
        threading.Thread(target=site.tend, daemon=True).start()
        yield site
    finally:
        site.close()


def _children(pid: int) -> list[int]:
    return [int(child.name) for child in Path("/proc").glob("[0-9]*") if _parent(child) == pid]


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _is_tracker(pid: int) -> bool:
    return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
